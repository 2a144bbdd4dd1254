"""The tiny models of `scripts/families.py`, and how they are compared."""
