"""Calibrating a router: clients say how far some of their own rows lie from the tasks."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fedrouter_sim.arrays import Ints
from fedrouter_sim.clustering.kmeans import distances
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.questions import Question
from fedrouter_sim.messages import Reach
from fedrouter_sim.routing.prototypes import task_distances
from fedrouter_sim.routing.reach import best_temperature, pooled, quantiles_by_task, temperature_losses
from fedrouter_sim.routing.router import Router


@dataclass(frozen=True)
class AskReach(Question[Reach]):
    """How far a client's calibration rows lie from the tasks, and how well each temperature tells its rows' tasks.

    A client without calibration rows answers for all its rows.
    """

    router: Router
    tasks: Mapping[int, Ints] = field(repr=False)  # client -> task of each of its rows, as it knows itself

    @property
    def nbytes(self) -> int:
        """Size of the prototypes and their tasks, where the router's rule did without and clients were not told."""
        landmarks = self.router.landmarks
        return 0 if len(self.router.told) > 1 else landmarks.prototypes.nbytes + landmarks.owners.nbytes

    def answer(self, client: Client) -> Reach:
        """Measure the distances."""
        rows = client.calibration_rows if len(client.calibration_rows) else np.arange(len(client.examples))
        landmarks = self.router.landmarks
        points = self.router.normalizer(client.embeddings[rows])
        near = task_distances(points, landmarks)
        quantiles, counts = quantiles_by_task(near.min(axis=1), near.argmin(axis=1), near.shape[1])
        # The temperature is of the distances that the rule goes by, the reach is always of those to prototypes.
        weighed = near if self.router.by_prototypes else distances(points, landmarks.centroids)
        return Reach(client.id, quantiles, counts, temperature_losses(weighed, self.tasks[client.id][rows]))


def calibrated(federation: Federation, router: Router, tasks: Mapping[int, Ints]) -> Router:
    """Return a router that knows its reach and its temperature, from what all clients answer.

    Under differential privacy it is returned as it is: clients do not answer.

    Args:
        federation: whose clients know the router's prototypes.
        router: without reach.
        tasks: client -> task of each of its rows.
    """
    if federation.guard is not None:
        return router
    answers = federation.ask(AskReach(router, tasks))
    quantiles, counts = np.stack([one.quantiles for one in answers]), np.stack([one.counts for one in answers])
    of_all = pooled(quantiles.reshape(-1, quantiles.shape[-1]), counts.ravel())
    # A task that is nearest to no calibration row has the reach of all.
    reach = [pooled(quantiles[:, task], own) if own.any() else of_all for task, own in enumerate(counts.transpose())]
    temperature = best_temperature([one.losses for one in answers], counts.sum(axis=1).tolist())
    return replace(router, reach=np.stack(reach), reach_of_all=of_all, temperature=temperature)
