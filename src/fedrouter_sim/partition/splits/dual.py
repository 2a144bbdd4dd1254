"""Two tasks per client (the paper's)."""

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Ints
from fedrouter_sim.partition.assigning import owners
from fedrouter_sim.partition.splits.split import FractionSplit, Wanted


class Dual(FractionSplit):
    """The clients of task j share the first half of task j and the second half of task j + 1."""

    name = "dual"

    def fractions(self, available: Ints, wanted: Wanted) -> NDArray[np.float64]:
        """Share out both halves of each task."""
        first = np.eye(len(available))[owners(wanted.clients, len(available))]
        held = np.zeros((wanted.clients, len(available)))
        for part in (first, np.roll(first, 1, axis=1)):
            held += part / np.maximum(2 * part.sum(axis=0), 1)
        return held
