"""Test cells, scores, and what is known of the true tasks."""
