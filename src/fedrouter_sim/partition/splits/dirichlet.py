"""Dirichlet mixtures (Hsu et al. 2019, arXiv 1909.06335)."""

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Ints
from fedrouter_sim.partition.splits.split import FractionSplit, Wanted
from fedrouter_sim.randomness import numpy_generator


class Dirichlet(FractionSplit):
    """Client i's mixture of tasks is q_i ~ Dir(alpha); all clients are equally large."""

    name = "dirichlet"
    uses = frozenset({"alpha"})

    def fractions(self, available: Ints, wanted: Wanted) -> NDArray[np.float64]:
        """Draw the mixtures and make the clients as large as the scarcest task that has rows allows."""
        tasks = len(available)
        mixtures = numpy_generator(wanted.seed, "mixtures").dirichlet(np.full(tasks, wanted.alpha), wanted.clients)
        mixtures = mixtures * (available > 0)
        demand = mixtures.sum(axis=0)
        size = min((available[t] / demand[t] for t in range(tasks) if demand[t] > 0), default=0.0)
        return np.asarray(mixtures * size / np.maximum(available, 1))
