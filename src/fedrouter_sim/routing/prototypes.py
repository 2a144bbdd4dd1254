"""The router with prototypes: the task of the nearest of several centroids a task."""

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import distances
from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule
from fedrouter_sim.routing.weighing import nearest_task


class NearestPrototype(RoutingRule):
    """A text goes to the task of the nearest prototype in L2; its margin is over the tasks, not the prototypes, and so
    is its confidence, softmax(-d^2 / temperature) at that task."""

    name = "prototypes"

    def route(self, points: Floats, landmarks: Landmarks) -> Routes:
        """Search a flat FAISS index over all prototypes."""
        return nearest_task(task_distances(points, landmarks), landmarks.temperature)


def task_distances(points: Floats, landmarks: Landmarks) -> NDArray[np.float64]:
    """Return the L2 distance of each point to the nearest prototype of each task, (n, T); points are (n, d)."""
    return nearest_of_tasks(distances(points, landmarks.prototypes), landmarks)


def nearest_of_tasks(to_all: NDArray[np.float64], landmarks: Landmarks) -> NDArray[np.float64]:
    """Return the least distance to a prototype of each task, (n, T), of those to all prototypes, (n, P)."""
    tasks = range(len(landmarks.centroids))
    return np.stack([to_all[:, landmarks.owners == task].min(axis=1) for task in tasks], axis=1)
