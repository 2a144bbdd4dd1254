"""IID over all tasks."""

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Ints
from fedrouter_sim.partition.splits.split import FractionSplit, Wanted


class All(FractionSplit):
    """Each client holds an equal part of every task."""

    name = "all"
    needs_labels = False

    def fractions(self, available: Ints, wanted: Wanted) -> NDArray[np.float64]:
        """Share every task out among all clients."""
        return np.full((wanted.clients, len(available)), 1 / wanted.clients)
