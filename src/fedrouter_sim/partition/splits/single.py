"""One task per client."""

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Ints
from fedrouter_sim.partition.assigning import owners
from fedrouter_sim.partition.splits.split import FractionSplit, Wanted


class Single(FractionSplit):
    """Each client holds one task: clients over tasks as evenly as possible, the remainder to the first tasks."""

    name = "single"

    def fractions(self, available: Ints, wanted: Wanted) -> NDArray[np.float64]:
        """Share each task out among its clients."""
        held = np.eye(len(available))[owners(wanted.clients, len(available))]
        return np.asarray(held / np.maximum(held.sum(axis=0), 1))
