"""The rules that make one adapter of the updates of a pool."""
