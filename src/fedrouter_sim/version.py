"""The version of the package; nothing else knows it."""

__version__ = "0.1.0"
