"""What a sharing rule is, and what it is told of a round."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from fedrouter_sim.adapters.state import Adapter

Change = Mapping[str, Tensor]
"""Key of an adapter -> how its tensor changed, float64."""

Memory = dict[str, Adapter]
"""What a rule keeps between rounds: float tensors by two names, of letters, digits, _, -, : and dots."""


@dataclass(frozen=True)
class SharedRound:
    """What the server has in hand when all task pools of a round are aggregated. No label and no row is in it."""

    number: int  # of the round, from 1
    rounds: int  # of the run
    starts: Mapping[str, Adapter]  # pool -> its adapter before the round, in the plan's order
    means: Mapping[str, Adapter]  # pool -> what its aggregation made; the start where nothing came
    held: Sequence[Mapping[str, float]]  # of each client that counted: pool -> examples; at least one pool each
    squares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Pool -> key -> weighted mean of the squared L2 norms of single updates' changes; empty where it is not known."""
    square_counts: Mapping[str, float] = field(default_factory=dict)
    """Pool -> sum over its updates of their squared example counts; known where `squares` are."""
    summed: bool = True
    """Whether the groups of a client shared its steps, so that what it did is the sum of its changes; else each took
    all of them."""

    @property
    def pools(self) -> tuple[str, ...]:
        """The task pools, in the plan's order."""
        return tuple(self.starts)

    @cached_property
    def examples(self) -> Mapping[str, float]:
        """Pool -> how many examples its updates of the round stand for; 0 where nothing came."""
        return {pool: sum(own.get(pool, 0.0) for own in self.held) for pool in self.pools}

    @cached_property
    def changes(self) -> Mapping[str, Change]:
        """Pool -> its mean minus its start, of the pools that received something."""
        return {
            pool: {key: mean.double() - self.starts[pool][key].double() for key, mean in self.means[pool].items()}
            for pool in self.pools
            if self.examples[pool] > 0
        }


class Sharing(ABC):
    """What task adapters take of each other. A new rule is a subclass: in the user's own file
    (`--sharing FILE.py:CLASS`), or in a file here and a row in the table.

    It runs at the server on what was sent anyway, so it costs no byte, and no privacy beyond that of the updates.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.memory: Memory = {}
        """What is kept between rounds. It is replaced, never changed in place, and a run that goes on after an
        interruption gets it back: nothing else that `shared` goes by may be kept."""

    @abstractmethod
    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return the new adapter of every task pool, float32, with the keys and shapes of its start."""
