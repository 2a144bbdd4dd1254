"""Dealing examples to clients."""
