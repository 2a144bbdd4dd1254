"""What a router's rule is: from distances to task centroids to who answers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Floats, Ints


@dataclass(frozen=True)
class Routes:
    """Where n texts go."""

    task: Ints  # (n,), the task of the largest weight
    distance: NDArray[np.float64]  # (n,), L2 to that task's centroid
    margin: NDArray[np.float64]  # (n,), distance to the second nearest minus distance; infinite with one centroid
    weights: NDArray[np.float64] | None = None  # (n, T), of answers that mix several adapters; None: a hard choice

    def among(self, tasks: Any, count: int) -> "Routes":
        """Return the routes when their tasks are positions in `tasks`, a choice among `count` of them."""
        if self.weights is None:
            return Routes(np.asarray(tasks)[self.task], self.distance, self.margin)
        weights = np.zeros((len(self.task), count))
        weights[:, tasks] = self.weights
        return Routes(np.asarray(tasks)[self.task], self.distance, self.margin, weights)


class RoutingRule(ABC):
    """How a router chooses among task centroids. A new one is a file here and a row in the table."""

    name: ClassVar[str]

    @abstractmethod
    def route(self, points: Floats, centroids: Floats) -> Routes:
        """Route normalised embeddings.

        Args:
            points: (n, d).
            centroids: (T, d), T > 0, of the tasks that may answer.
        """
