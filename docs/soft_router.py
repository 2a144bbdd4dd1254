"""An example of a user's own method: FedRouter whose answers mix the outputs of the two nearest task adapters.

fedrouter-sim train --method docs/soft_router.py:SoftRouter
"""

import numpy as np

from fedrouter_sim import Asked, Choice, Deployment, FedRouter


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
            names = [deployment.pools[task].name for task in nearest]
            choices.append(Choice(tuple(zip(names, weights.tolist(), strict=True))))
        return choices
