"""The router with prototypes: the task of the nearest of several centroids a task."""

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import distances
from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule


class NearestPrototype(RoutingRule):
    """A text goes to the task of the nearest prototype in L2; its margin is over the tasks, not the prototypes."""

    name = "prototypes"

    def route(self, points: Floats, landmarks: Landmarks) -> Routes:
        """Search a flat FAISS index over all prototypes."""
        reach = task_distances(points, landmarks)
        order = np.sort(reach, axis=1)
        margin = order[:, 1] - order[:, 0] if reach.shape[1] > 1 else np.full(len(points), np.inf)
        return Routes(reach.argmin(axis=1), order[:, 0], margin)


def task_distances(points: Floats, landmarks: Landmarks) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Return the L2 distance of each point to the nearest prototype of each task, (n, T); points are (n, d)."""
    tasks = len(landmarks.centroids)
    to_all = distances(points, landmarks.prototypes)
    return np.stack([to_all[:, landmarks.owners == task].min(axis=1) for task in range(tasks)], axis=1)
