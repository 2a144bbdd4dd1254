"""What the rules have in common that compare updates with each other: they hold all of them until the round ends."""

from collections.abc import Iterator
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor

from fedrouter_sim.adapters.aggregation.rule import Aggregation, check_weighted
from fedrouter_sim.adapters.state import Adapter, check_compatible


class Holding(Aggregation):
    """A rule that needs all updates of a pool at once, to keep a few hostile ones from moving the result.

    It holds references to the adapters that it was given, so a round takes the memory of one adapter for each update of
    each pool: it grows with the clients that take part, where that of a running rule grows with the pools.
    """

    guards: ClassVar[bool] = True

    def __init__(self, rank: int) -> None:
        super().__init__(rank)  # which the factors have already
        self.adapters: list[Adapter] = []
        self.weights: list[float] = []

    def add(self, adapter: Adapter, weight: float) -> None:
        """Hold one adapter, which nobody may change from now on.

        Raises:
            ValueError: the weight is not positive, a value is not finite, or keys or shapes differ from the first's.
        """
        check_weighted(adapter, weight)
        if self.adapters:
            check_compatible(self.adapters[0], adapter)
        self.adapters.append(adapter)
        self.weights.append(weight)

    def sorted_values(self) -> Iterator[tuple[str, Tensor]]:
        """Yield each key with the values (n, ...) of the n adapters, ascending in each place by itself.

        Raises:
            ValueError: nothing was added.
        """
        self._check_any()
        for key in self.adapters[0]:
            yield key, torch.stack([adapter[key] for adapter in self.adapters]).sort(dim=0).values

    def vectors(self) -> Iterator[Tensor]:
        """Yield the weights of each adapter as one vector (d,), in the order of the first's keys.

        Raises:
            ValueError: nothing was added.
        """
        self._check_any()
        for adapter in self.adapters:
            yield torch.cat([adapter[key].reshape(-1) for key in self.adapters[0]])

    def _check_any(self) -> None:
        if not self.adapters:
            raise ValueError("what becomes of no adapters is undefined")


def middle(values: Tensor) -> Tensor:
    """Return the medians in float64 of values (n, ...) that ascend along the first dimension; of an even number, the
    mean of the two in the middle."""
    count = len(values)
    return (values[(count - 1) // 2].double() + values[count // 2].double()) / 2


def part_of(share: float, count: int) -> int:
    """Return how many of `count` updates a share of them is, rounded up: 0.2 of 10 are 2, and of 11 they are 3."""
    return ceil(share * count - 1e-9)  # 0.1 * 30 is a little more than 3
