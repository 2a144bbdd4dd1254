"""Messages as plain values, and what is in them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from fedrouter_sim.federation.client import Client


def numbers(value: Any) -> Any:
    """Return a message as plain values, arrays as lists, so that two can be compared."""
    if dataclasses.is_dataclass(value):
        return {f.name: numbers(getattr(value, f.name)) for f in dataclasses.fields(value) if f.name != "seconds"}
    return value.tolist() if isinstance(value, np.ndarray) else value


def texts(value: Any) -> Iterator[str]:
    """Yield every text within a message."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts(inner)


def longest(client: Client, positions: Any) -> int:
    return max(len(client.encoded[i].response) for i in positions)
