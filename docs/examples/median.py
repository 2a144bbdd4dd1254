"""An aggregation rule of one's own: a coordinate-wise median, which no single client can move far.

fedrouter-sim train --aggregation docs/examples/median.py:Median
"""

import torch

from fedrouter_sim import Adapter, Aggregation


class Median(Aggregation):
    """The lower median of every weight of A and of B; example counts do not matter. It keeps a round's adapters."""

    name = "lower-median"

    def __init__(self, rank: int) -> None:
        super().__init__(rank)
        self._adapters: list[Adapter] = []

    def add(self, adapter: Adapter, weight: float) -> None:
        self._adapters.append(adapter)

    def result(self) -> Adapter:
        keys = self._adapters[0]
        return {key: torch.stack([adapter[key] for adapter in self._adapters]).median(dim=0).values for key in keys}
