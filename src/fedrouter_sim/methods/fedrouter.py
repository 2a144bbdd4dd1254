"""FedRouter (arXiv 2604.00050): a group per local cluster, pools by global clustering, answered by the router."""

from collections.abc import Sequence

from fedrouter_sim.clustering import FeatureSums, Normalizer
from fedrouter_sim.messages import CentroidMessage, Group
from fedrouter_sim.methods.method import Asked, Federation, Method, Plan, Pool, group_by, pools_of
from fedrouter_sim.router import Router, task_name
from fedrouter_sim.server import cluster_globally, split_by_client


class FedRouter(Method):
    """One adapter per task, found by clustering embeddings; task labels are never read."""

    name = "fedrouter"
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
        return Plan(tuple(groups), pools_of(groups, clients, names), router, local, up, down)

    def answered_by(self, pools: Sequence[Pool], router: Router | None, asked: Asked, routing: str) -> list[str | None]:
        """Answer by the adapter of the nearest task centroid (step 7)."""
        if router is None:
            raise ValueError("fedrouter answers by a router")
        candidates = router.tasks_of(asked.client) if routing == "local" else None
        return [task_name(task) for task in router.route(asked.embeddings, candidates).index]


def _setup_traffic(sums: list[FeatureSums], messages: Sequence[CentroidMessage], router: Router) -> tuple[int, int]:
    """Return the bytes of all clients' setup messages, up and down."""
    up = sum(message.nbytes for message in messages)
    up += sum(one.total.nbytes + one.total_squares.nbytes + 8 for one in sums)
    features = (router.normalizer.mean, router.normalizer.deviation)
    shared = router.centroids.nbytes + sum(feature.nbytes for feature in features if feature is not None)
    assignments = sum(8 * len(assigned) for assigned in router.assignment)
    return up, shared * len(messages) + assignments
