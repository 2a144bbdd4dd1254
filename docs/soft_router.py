"""A method of one's own: FedRouter whose answers mix the outputs of the two nearest task adapters.

fedrouter-sim train --method docs/soft_router.py:SoftRouter
"""

import numpy as np

from fedrouter_sim.methods import Asked, Choice, Deployment, FedRouter
from fedrouter_sim.routing.router import task_name


class SoftRouter(FedRouter):
    """Clusters, trains and averages as FedRouter does; only who answers a test sample differs."""

    name = "soft-router"
    routings = ("global",)

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        router = deployment.router
        points = router.normalizer(asked.embeddings)  # (n, d)
        distances = np.linalg.norm(points[:, None] - router.centroids, axis=2)  # (n, T)
        choices = []
        for row in distances:
            nearest = np.sort(np.argsort(row)[:2])
            weights = np.exp(row.min() - row[nearest])
            weights /= weights.sum()
            pairs = zip(nearest.tolist(), weights.tolist(), strict=True)
            choices.append(Choice(tuple((task_name(task), weight) for task, weight in pairs)))
        return choices
