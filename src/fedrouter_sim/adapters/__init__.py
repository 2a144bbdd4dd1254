"""LoRA adapters as plain tensors, their folders on disk, and their aggregation."""
