"""FedRouter (arXiv 2604.00050): a group per local cluster, pools by global clustering, answered by the router."""

from collections.abc import Sequence

import numpy as np

from fedrouter_sim.clustering.kmeans import FeatureSums, Normalizer
from fedrouter_sim.federation.server import cluster_globally, split_by_client
from fedrouter_sim.messages import CentroidMessage, Group
from fedrouter_sim.methods.method import (
    Asked,
    Choice,
    Deployment,
    Federation,
    Method,
    Plan,
    group_by,
    pools_of,
    with_groups,
)
from fedrouter_sim.routing.router import Router, task_name


class FedRouter(Method):
    """One adapter per task, found by clustering embeddings; task labels are never read."""

    name = "fedrouter"
    uses = frozenset({"local_clusters", "tasks", "normalize"})
    routings = ("global", "local")

    def plan(self, federation: Federation) -> Plan:
        """Cluster locally, then globally (steps 1 to 4); a client's clusters of one task are one group."""
        config, clients = federation.config, federation.clients
        sums = [client.feature_sums() for client in clients] if config.normalize == "standardize" else []
        normalizer = Normalizer.standardizing(sums) if sums else Normalizer(config.normalize)
        clusterings = [client.cluster(normalizer) for client in clients]
        messages = tuple(client.describe(clustering) for client, clustering in zip(clients, clusterings, strict=True))
        tasks = cluster_globally(messages, config.tasks, config.seed)
        assignment = split_by_client(tasks.labels, messages)
        groups: list[Group] = []
        for client, clustering, assigned in zip(clients, clusterings, assignment, strict=True):
            members = {task_name(task): tuple(c for c, t in enumerate(assigned) if t == task) for task in set(assigned)}
            groups += group_by(client, [task_name(assigned[c]) for c in clustering.labels], members)
        router = Router(
            centroids=tasks.centroids,
            normalizer=normalizer,
            clients=messages,
            assignment=assignment,
            max_tokens=federation.backbone.encoder.limit,
            backbone_digest=federation.backbone.digest,
        )
        names = [task_name(task) for task in range(len(tasks.centroids))]
        up, down = _setup_traffic(sums, messages, router)
        local = {client.id: clustering.labels for client, clustering in zip(clients, clusterings, strict=True)}
        pools = pools_of(groups, clients, names)
        return Plan(tuple(groups), pools, router, local, bytes_up=up, bytes_down=down)

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Send every row to the nearest of all tasks: the clusters stand, and the clients' groups follow."""
        router = _of(plan.router)
        groups: list[Group] = []
        for client in federation.clients:
            tasks = router.route(client.embeddings).index
            groups += group_by(client, [task_name(int(task)) for task in tasks])
        return with_groups(plan, tuple(groups), federation.clients)

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the adapter of the nearest task centroid (step 7)."""
        router = _of(deployment.router)
        candidates = router.tasks_of(asked.client) if routing == "local" else None
        found = router.route(asked.embeddings, candidates)
        margins = found.margin.tolist() if np.isfinite(found.margin).all() else [None] * len(found.margin)
        return [Choice.of(task_name(task), m) for task, m in zip(found.index.tolist(), margins, strict=True)]


def _of(router: Router | None) -> Router:
    if router is None:
        raise ValueError("fedrouter answers by a router")
    return router


def _setup_traffic(sums: list[FeatureSums], messages: Sequence[CentroidMessage], router: Router) -> tuple[int, int]:
    """Return the bytes of all clients' setup messages, up and down."""
    up = sum(message.nbytes for message in messages)
    up += sum(one.total.nbytes + one.total_squares.nbytes + 8 for one in sums)
    features = (router.normalizer.mean, router.normalizer.deviation)
    shared = router.centroids.nbytes + sum(feature.nbytes for feature in features if feature is not None)
    assignments = sum(8 * len(assigned) for assigned in router.assignment)
    return up, shared * len(messages) + assignments
