"""FedRouter (arXiv 2604.00050): a group per local cluster, pools by global clustering, answered by the router."""

import numpy as np

from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.finding import find_tasks
from fedrouter_sim.federation.groups import Group, group_by
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Plan, pools_of, with_groups
from fedrouter_sim.federation.questions import AskTasks
from fedrouter_sim.messages import Tasks
from fedrouter_sim.methods.method import Method
from fedrouter_sim.routing import GLOBAL, LOCAL, task_name
from fedrouter_sim.routing.archive import ARCHIVE_NAME, Archive
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.routing.router import Router


class FedRouter(Method):
    """One adapter per task, found by clustering embeddings; task labels are never read."""

    name = "fedrouter"
    uses = frozenset({"local_clusters", "tasks", "affinity", "cut", "normalize", "router"})
    routings = (GLOBAL, LOCAL)

    def plan(self, federation: Federation) -> Plan:
        """Cluster locally, then globally (steps 1 to 4); a client's clusters of one task are one group."""
        config = federation.config
        found = find_tasks(federation)
        archive = Archive(found.messages, found.assignment)
        router = router_of(
            archive, found.normalizer, federation.max_tokens, federation.backbone_digest, config.router, config.option
        )
        told = zip(federation.ids, archive.assignment, strict=True)
        federation.tell({client: Tasks(client, router.landmarks.prototypes, own) for client, own in told})
        groups: list[Group] = []
        for answer, assigned in zip(found.clients, archive.assignment, strict=True):
            pools = [task_name(task) for task in assigned]
            clusters = {pool: tuple(c for c, name in enumerate(pools) if name == pool) for pool in pools}
            groups += group_by(answer.grouping, pools, clusters)
        names = [task_name(task) for task in range(len(router.centroids))]
        local = {answer.grouping.client: answer.grouping.labels for answer in found.clients}
        return Plan(tuple(groups), pools_of(groups, names), router, archive, local, linked=found.linked)

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Send every row to the nearest of all tasks: the clusters stand, and the clients' groups follow."""
        groupings = federation.ask(AskTasks(_of(plan.router)))
        return with_groups(plan, tuple(group for g in groupings for group in group_by(g, g.names)))

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the adapters that the router chooses (step 7)."""
        router = _of(deployment.router)
        candidates = _archive(deployment).tasks_of(asked.client) if routing == LOCAL else None
        if router.by_token is not None:
            names = [task_name(task) for task in candidates or range(len(router.centroids))]
            even = tuple((name, 1 / len(names)) for name in names)
            return [Choice(even, by_token=router.by_token)] * len(asked.instructions)
        found = router.route(asked.embeddings, candidates)
        margins = found.margin.tolist() if np.isfinite(found.margin).all() else [None] * len(found.margin)
        sure = [None] * len(margins) if found.confidence is None else found.confidence.tolist()
        weights = np.eye(len(router.centroids))[found.task] if found.weights is None else found.weights
        return [
            Choice(tuple((task_name(int(task)), float(of_text[task])) for task in np.flatnonzero(of_text)), *told)
            for of_text, *told in zip(weights, margins, found.distance.tolist(), sure, strict=True)
        ]


def _archive(deployment: Deployment) -> Archive:
    if deployment.archive is None:
        raise UserError(
            f"--routing {LOCAL}: goes by {ARCHIVE_NAME}, which this run lacks; put it back, or take --routing {GLOBAL}"
        )
    return deployment.archive


def _of(router: Router | None) -> Router:
    if router is None:
        raise ValueError("fedrouter answers by a router")
    return router
