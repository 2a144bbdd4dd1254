"""The weighted mean of adapters, factor by factor."""

from torch import Tensor

from fedrouter_sim.adapters.aggregation.rule import Aggregation, check_weighted
from fedrouter_sim.adapters.state import Adapter, check_compatible


class WeightedMean(Aggregation):
    """The running weighted mean of adapters, factor by factor: mean of the A's and mean of the B's (FedAvg).

    Sums are kept in float64. With whole-number weights they are exact in practice, so the mean of equal adapters is
    that adapter to the bit. Memory is that of one adapter, however many are added; add in a fixed order. Sums begin
    with the second adapter: until then the first is held as it is, which nobody may change, and is the result.
    """

    name = "mean"

    def __init__(self, rank: int = 1) -> None:
        super().__init__(rank)  # which the factors have already
        self.total = 0.0
        self._only: Adapter = {}
        self._sums: dict[str, Tensor] = {}

    def add(self, adapter: Adapter, weight: float) -> None:
        """Add one adapter.

        Raises:
            ValueError: the weight is not positive, a value is not finite, or keys or shapes differ from the first's.
        """
        check_weighted(adapter, weight)
        if not self.total:
            self._only = adapter
        else:
            check_compatible(self._sums or self._only, adapter)
            if self._only:
                self._sums = {key: value.double() * self.total for key, value in self._only.items()}
                self._only = {}
            for key, value in adapter.items():
                self._sums[key].add_(value.double(), alpha=weight)
        self.total += weight

    def result(self) -> Adapter:
        """Return the mean in float32.

        Raises:
            ValueError: nothing was added.
        """
        if not self.total:
            raise ValueError("the mean of no adapters is undefined")
        if self._only:
            return {key: value.float() for key, value in self._only.items()}
        return {key: (value / self.total).float() for key, value in self._sums.items()}
