"""A split of one's own: every client holds all tasks, and each client has a smaller part than the one before.

fedrouter-sim train --split docs/examples/skewed.py:Skewed --option ratio=0.5
"""

import numpy as np

from fedrouter_sim import FractionSplit, Wanted


class Skewed(FractionSplit):
    """Client i holds a share of every task in proportion to ratio ** i."""

    name = "skewed"
    needs_labels = False

    def __init__(self, ratio: float = 0.8) -> None:
        self.ratio = ratio

    def fractions(self, available: np.ndarray, wanted: Wanted) -> np.ndarray:
        sizes = self.ratio ** np.arange(wanted.clients)
        return np.repeat(sizes[:, None] / sizes.sum(), len(available), axis=1)  # (clients, tasks)
