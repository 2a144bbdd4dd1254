"""What a router's rule is: from where tasks lie to who answers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.adapters.together import Together
from fedrouter_sim.arrays import Floats, Ints


@dataclass(frozen=True)
class Landmarks:
    """Where T tasks lie in the normalised space: a centroid each, and several prototypes, since a task is seldom one
    blob."""

    centroids: Floats  # (T, d)
    prototypes: Floats  # (P, d)
    owners: Ints  # (P,), the task of each prototype
    temperature: float = 1.0  # of the weights exp(-distance^2 / temperature) of tasks, from calibration
    sizes: Ints | None = None  # (P,), the examples that each prototype stands for; None: not known

    @classmethod
    def of_centroids(cls, centroids: Floats) -> "Landmarks":
        """Take the centroids (T, d) for the only prototypes."""
        return cls(centroids, centroids, np.arange(len(centroids)))

    def among(self, tasks: Sequence[int]) -> "Landmarks":
        """Return the landmarks of some tasks, which are numbered by their places in `tasks`."""
        mine = np.isin(self.owners, tasks)
        places = {task: place for place, task in enumerate(tasks)}
        owners = np.array([places[int(owner)] for owner in self.owners[mine]], dtype=np.int64)
        sizes = None if self.sizes is None else self.sizes[mine]
        return Landmarks(self.centroids[list(tasks)], self.prototypes[mine], owners, self.temperature, sizes)


@dataclass(frozen=True)
class Routes:
    """Where n texts go."""

    task: Ints  # (n,), the task of the largest weight
    distance: NDArray[np.float64]  # (n,), L2 to that task's landmark
    margin: NDArray[np.float64]  # (n,), distance to the nearest other task minus distance: below zero where a rule took
    # a task that is not the nearest; infinite with one task
    weights: NDArray[np.float64] | None = None  # (n, T), of answers that mix several adapters; None: a hard choice
    confidence: NDArray[np.float64] | None = None  # (n,), the probability that the rule gives `task`; None: it has none

    def among(self, tasks: Any, count: int) -> "Routes":
        """Return the routes when their tasks are positions in `tasks`, a choice among `count` of them."""
        weights = None
        if self.weights is not None:
            weights = np.zeros((len(self.task), count))
            weights[:, tasks] = self.weights
        return replace(self, task=np.asarray(tasks)[self.task], weights=weights)


class RoutingRule(ABC):
    """How a router chooses among tasks. A new one is a file here and a row in the table.

    Attributes:
        name: its name in the table.
        keeps_all: whether the router holds all local centroids of all clients, with their sizes, for prototypes, and
            not a few of each task.
        together: how several adapters answer a text; None: by the weighted sum of their outputs. Where they are weighed
            by token, `route` only serves where a text needs a single task.
    """

    name: ClassVar[str]
    prototypes: ClassVar[bool] = True
    """Whether it goes by prototypes. Clients are then told these, beside the centroids."""
    keeps_all: ClassVar[bool] = False
    together: Together | None = None

    @abstractmethod
    def route(self, points: Floats, landmarks: Landmarks) -> Routes:
        """Route normalised embeddings.

        Args:
            points: (n, d).
            landmarks: of the T > 0 tasks that may answer.
        """
