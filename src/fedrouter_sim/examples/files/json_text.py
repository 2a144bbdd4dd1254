"""JSON of data files: no object names a key twice."""

import json
from typing import Any


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"names {twice!r} twice")
    return made


DECODER = json.JSONDecoder(object_pairs_hook=_object)
"""Decodes JSON; a ValueError says what is wrong, also where an object names a key twice."""
