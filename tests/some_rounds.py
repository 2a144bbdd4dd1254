"""Small rounds for tests of sharing rules."""

from collections.abc import Mapping, Sequence

import torch
from some_adapters import A, B, random_adapter

from fedrouter_sim.adapters.sharing.rule import SharedRound
from fedrouter_sim.adapters.state import Adapter


def plus(adapter: Adapter, change: Adapter, factor: float = 1.0) -> dict[str, torch.Tensor]:
    """An adapter with a multiple of a change."""
    return {key: value + factor * change[key] for key, value in adapter.items()}


def unit(place: int) -> dict[str, torch.Tensor]:
    """A change of length 1 in one number of B, and in one of A."""
    change = {A: torch.zeros(3, 8), B: torch.zeros(6, 3)}
    for value in change.values():
        value.view(-1)[place] = 1.0
    return change


def round_of(
    changes: Mapping[str, Adapter | None],
    held: Sequence[Mapping[str, float]],
    number: int = 1,
    rounds: int = 4,
    starts: Mapping[str, Adapter] | None = None,
    squares: Mapping[str, Mapping[str, float]] | None = None,
) -> SharedRound:
    """A round in which pools were changed so, from one start if no others are given; None: nothing came."""
    begun = starts or dict.fromkeys(changes, random_adapter(0))
    means = {pool: begun[pool] if change is None else plus(begun[pool], change) for pool, change in changes.items()}
    counts = {pool: sum(own.get(pool, 0.0) ** 2 for own in held) for pool in squares or {}}  # an update a client
    return SharedRound(number, rounds, begun, means, held, squares or {}, counts)


def close(one: Adapter, other: Adapter, tolerance: float = 1e-6) -> bool:
    """Whether two adapters are equal but for rounding."""
    return list(one) == list(other) and all(torch.allclose(one[key], other[key], atol=tolerance) for key in one)
