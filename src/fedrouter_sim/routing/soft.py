"""The soft router: the nearest tasks answer together, and a text that is surely of one task gets that one alone."""

from dataclasses import replace
from typing import ClassVar

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing.prototypes import task_distances
from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule
from fedrouter_sim.routing.weighing import nearest_task, task_weights


class SoftPrototypes(RoutingRule):
    """Mixes the outputs of the `nearest` tasks by softmax(-d^2 / temperature), d the distance to a task's nearest
    prototype. Weights below 0.05 are dropped and the rest renormalised. The confidence is the nearest task's weight
    among all tasks, as that of `prototypes`."""

    name = "soft"
    least: ClassVar[float] = 0.05  # a weight below it changes an answer little, and costs a mixture

    def __init__(self, nearest: int = 2) -> None:
        """Take the most tasks that answer together."""
        if nearest < 1:
            raise UserError(f"--option nearest={nearest}: must be at least 1")
        self.nearest = nearest

    def route(self, points: Floats, landmarks: Landmarks) -> Routes:
        """Weigh the tasks by their distances (n, T)."""
        distances = task_distances(points, landmarks)
        weights = task_weights(distances, landmarks.temperature)
        far = np.argsort(distances, axis=1, kind="stable")[:, self.nearest :]
        np.put_along_axis(weights, far, 0, axis=1)
        weights /= weights.sum(axis=1, keepdims=True)
        weights[(weights < self.least) & (weights < weights.max(axis=1, keepdims=True))] = 0
        weights /= weights.sum(axis=1, keepdims=True)
        return replace(nearest_task(distances, landmarks.temperature), weights=weights)
