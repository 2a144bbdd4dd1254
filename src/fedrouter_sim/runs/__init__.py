"""A run on disk: written while it goes, read back afterwards."""
