"""Which layer of the backbone a tensor of an adapter belongs to."""

import re

_NUMBER = re.compile(r"\.(\d+)\.")


def layer_of(key: str) -> str:
    """Return the number of the layer that a key of an adapter names, as text: the first number between dots; '' where
    there is none."""
    found = _NUMBER.search(key)
    return found[1] if found else ""
