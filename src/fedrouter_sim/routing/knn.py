"""The router by neighbours: the nearest local centroids of all clients vote."""

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import distances
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing.prototypes import nearest_of_tasks
from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule
from fedrouter_sim.routing.weighing import routes_to


class NearestNeighbours(RoutingRule):
    """The `k` nearest local centroids in L2 vote for their tasks, each with as many votes as it has examples.

    The router therefore holds all local centroids of all clients and their sizes (`keeps_all`), where those of other
    rules hold a few of each task: a router that is shipped says more of the clients' data, and clients are told more.

    The votes are scaled to k in all, and one more is shared among the T tasks, so that k neighbours of one mind are not
    taken for certainty: the confidence is (votes of the task + 1 / T) / (k + 1). Of tasks with equal votes the nearest
    wins; the distance is that to the task's nearest centroid, and the margin is below zero where another task has a
    nearer one.
    """

    name = "knn"
    keeps_all = True

    def __init__(self, k: int = 5) -> None:
        """Take the number of neighbours that vote; of fewer, all do."""
        if k < 1:
            raise UserError(f"--option k={k}: must be at least 1")
        self.k = k

    def route(self, points: Floats, landmarks: Landmarks) -> Routes:
        """Count the votes of the nearest prototypes."""
        to_all = distances(points, landmarks.prototypes)
        to_tasks = nearest_of_tasks(to_all, landmarks)
        voters = np.argsort(to_all, axis=1, kind="stable")[:, : self.k]  # (n, k)
        sizes = np.ones(len(landmarks.owners)) if landmarks.sizes is None else landmarks.sizes.astype(np.float64)
        tasks, k = to_tasks.shape[1], voters.shape[1]
        votes = np.stack(
            [np.where(landmarks.owners[voters] == task, sizes[voters], 0).sum(axis=1) for task in range(tasks)], axis=1
        )
        votes *= k / votes.sum(axis=1, keepdims=True)
        most = np.isclose(votes, votes.max(axis=1, keepdims=True))
        task = np.where(most, to_tasks, np.inf).argmin(axis=1)
        own = np.take_along_axis(votes, task[:, None], axis=1)[:, 0]
        return routes_to(task, to_tasks, (own + 1 / tasks) / (k + 1))
