"""Which layer of the backbone a tensor of an adapter belongs to."""

import re
from collections.abc import Callable

from fedrouter_sim.errors import UserError

_NUMBER = re.compile(r"\.(\d+)\.")


def layer_of(key: str) -> str:
    """Return the number of the layer that a key of an adapter names, as text: the first number between dots; '' where
    there is none."""
    found = _NUMBER.search(key)
    return found[1] if found else ""


def grouping(by: str) -> Callable[[str], str]:
    """Return what says, of a key, with which others it is looked at together: of the same layer, or all.

    Args:
        by: the option of that name: 'adapter' or 'layer'.

    Raises:
        UserError: it is neither.
    """
    if by not in ("adapter", "layer"):
        raise UserError(f"--option by={by}: choose adapter or layer")
    return layer_of if by == "layer" else lambda key: "adapter"


def group_of_b(group_of: Callable[[str], str]) -> Callable[[str], str | None]:
    """Return a grouping of B factors alone. Those of A say little: all began with the same A, which moves by noise as
    long as B is small."""
    return lambda key: group_of(key) if "lora_B" in key else None
