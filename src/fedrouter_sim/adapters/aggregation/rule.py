"""What an aggregation rule is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from fedrouter_sim.adapters.state import Adapter, check_finite


class Aggregation(ABC):
    """The running aggregate of the adapters of one pool in one round. A new rule is a subclass.

    Args:
        rank: rank r of the resulting adapter.
    """

    name: ClassVar[str]
    guards: ClassVar[bool] = False
    """Whether it guards an adapter against single updates, so that nothing else may go by one of them."""

    keeps_basis: ClassVar[bool] = True
    """Whether the result's factors are of the basis that the updates' are of, so that the change of a factor means
    something. Where they are not, tasks share nothing."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.lost: float | None = None
        """After `result`: the relative error of a truncation, where the rule truncates."""

    @abstractmethod
    def add(self, adapter: Adapter, weight: float) -> None:
        """Add one adapter; adapters are added in client and group order.

        Raises:
            ValueError: the weight is not positive, a value is not finite, or the adapter does not fit the others.
        """

    @abstractmethod
    def result(self) -> Adapter:
        """Return the aggregate in float32, of the given rank.

        Raises:
            ValueError: nothing was added.
        """


def check_weighted(adapter: Adapter, weight: float) -> None:
    """Check what any rule asks of what it is given.

    Raises:
        ValueError: the weight is not positive, or a value is not finite.
    """
    if not weight > 0:
        raise ValueError(f"weight {weight} is not positive")
    check_finite(adapter)
