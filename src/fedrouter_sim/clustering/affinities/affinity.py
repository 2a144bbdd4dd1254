"""What an affinity is: vectors whose inner products say how alike local clusters are."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from fedrouter_sim.arrays import Floats

NOTHING, GRADIENTS, UPDATES = "nothing", "gradients", "updates"


@dataclass(frozen=True)
class Embedded:
    """What is known of n local clusters, of all clients: the adapter embeddings of the global stage."""

    centroids: Floats  # (n, d), normalised
    halves: Floats | None = None  # (n, 2, m), sketches of two halves of the rows, half precision; None: not asked for


class Affinity(ABC):
    """How alike local clusters are. A new one is a file here and a row in the table."""

    name: ClassVar[str]
    evidence: ClassVar[str] = NOTHING
    """What clients sketch for it: 'gradients' at the common start, 'updates' of a first round, or 'nothing'."""

    above_unrelated: ClassVar[float | None] = None
    """How far above the mean affinity of unrelated tasks the cut lies where it is left open; None: at the usual one."""

    lenience: ClassVar[float] = 0.0
    """How far below the cut all local clusters may be alike and still be one task, where there is no other."""

    @abstractmethod
    def vectors(self, embedded: Embedded) -> Floats:
        """Return a vector for each local cluster, (n, any width): the inner product of two is their affinity.

        Cosines take unit vectors; a correction for noise makes those longer whose direction is uncertain.
        """
