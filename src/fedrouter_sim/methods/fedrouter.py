"""FedRouter (arXiv 2604.00050): a group per local cluster, pools by global clustering, answered by the router."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedrouter_sim.adapters.by_token import ByToken
from fedrouter_sim.clustering.affinities import find_affinity
from fedrouter_sim.clustering.affinities.affinity import GRADIENTS
from fedrouter_sim.clustering.affinities.affinity import UPDATES as FIRST_UPDATES
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import ANSWER, AUTO, BACKBONE, STANDARDIZING
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.births import follow_with_births
from fedrouter_sim.federation.calibrating import calibrated
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.finding import find_tasks
from fedrouter_sim.federation.groups import Group, group_by
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Plan, Weights, pools_of, with_groups
from fedrouter_sim.federation.privacy import CENTROIDS, SKETCHES, SUMS, UPDATES
from fedrouter_sim.federation.questions import AskTasks
from fedrouter_sim.messages import Tasks
from fedrouter_sim.methods.method import Method
from fedrouter_sim.routing import GLOBAL, LOCAL, task_name
from fedrouter_sim.routing.archive import ARCHIVE_NAME, Archive
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.routing.reach import counts_as_unseen
from fedrouter_sim.routing.router import Router
from fedrouter_sim.routing.rule import Routes
from fedrouter_sim.tables import parse_options

MIXED_WEIGHT = 0.5  # of the adapters in a mix with the bare backbone


class FedRouter(Method):
    """One adapter per task, found by clustering embeddings; task labels are never read."""

    name = "fedrouter"
    uses = frozenset(
        "local_clusters tasks affinity cut embedding normalize router unseen robust_clustering sharing"
        " lr_scaling".split()
    )
    routings = (GLOBAL, LOCAL)

    def releases(self, config: RunConfig) -> tuple[str, ...]:
        """The local centroids and, as the settings want them, the sums for standardising and gradient sketches."""
        affinity = find_affinity(config.affinity, parse_options(config.option))
        return (
            UPDATES,
            *((SUMS,) if config.normalize in STANDARDIZING else ()),
            CENTROIDS,
            *((SKETCHES,) if affinity.evidence in (GRADIENTS, FIRST_UPDATES) else ()),
        )

    def plan(self, federation: Federation) -> Plan:
        """Cluster locally, then globally (steps 1 to 4); a client's clusters of one task are one group."""
        config = federation.config
        found = find_tasks(federation)
        archive = Archive.of(found.messages, found.assignment, config.robust_clustering)
        router = router_of(
            archive, found.normalizer, federation.max_tokens, federation.backbone_digest, config.router, config.option
        )
        told = zip(federation.ids, archive.assignment, strict=True)
        federation.tell({client: Tasks(client, own, router.told) for client, own in told})
        groups: list[Group] = []
        for answer, assigned in zip(found.clients, archive.assignment, strict=True):
            pools = [task_name(task) for task in assigned]
            clusters = {pool: tuple(c for c, name in enumerate(pools) if name == pool) for pool in pools}
            groups += group_by(answer.grouping, pools, clusters)
        names = [task_name(task) for task in range(len(router.centroids))]
        local = {answer.grouping.client: answer.grouping.labels for answer in found.clients}
        rows = {
            message.client: np.asarray(assigned, dtype=np.int64)[local[message.client]]
            for message, assigned in zip(archive.clients, archive.assignment, strict=True)
        }
        router = replace(calibrated(federation, router, rows), on_unseen=config.unseen)
        return Plan(tuple(groups), pools_of(groups, names), router, archive, local, linked=found.linked)

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Send every row to the nearest of all tasks: the clusters stand, and the clients' groups follow.

        Where the tasks were found by gradients, without their number, tasks are born of rows that are like none of
        them.
        """
        router, archive = _of(plan.router), plan.archive
        grown = follow_with_births(federation, plan, router, archive) if archive and _finds(federation.config) else None
        if grown is not None:
            return grown
        groupings = federation.ask(AskTasks(router))
        return with_groups(plan, tuple(group for g in groupings for group in group_by(g, g.names)))

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the adapters that the router chooses (step 7)."""
        router = _of(deployment.router)
        candidates = _archive(deployment).tasks_of(asked.client) if routing == LOCAL else None
        if isinstance(router.together, ByToken):
            return _by_token(router, router.together, candidates, asked)
        found = router.route(asked.embeddings, candidates)
        margins = found.margin.tolist() if np.isfinite(found.margin).all() else [None] * len(found.margin)
        sure = [None] * len(margins) if found.confidence is None else found.confidence.tolist()
        scores = router.unseen(asked.embeddings)
        unseen = [None] * len(margins) if scores is None else scores.tolist()
        return [
            _choice(router, weights, margin, distance, score, confidence)
            for weights, margin, distance, score, confidence in zip(
                _weights(found), margins, found.distance.tolist(), unseen, sure, strict=True
            )
        ]


def _choice(
    router: Router,
    weights: Weights,
    margin: float | None,
    distance: float,
    unseen: float | None,
    confidence: float | None,
) -> Choice:
    """Return who answers a text of these weights, by how unseen it is."""
    answering = _answering(weights, unseen, router.on_unseen)
    # What is mixed with the bare backbone, at half its weight, is one adapter of summed outputs.
    together = router.together if answering == weights and len(weights) > 1 else None
    return Choice(answering, margin, distance, unseen, confidence, together)


def _by_token(router: Router, by_token: ByToken, candidates: Sequence[int] | None, asked: Asked) -> list[Choice]:
    """Have all candidates answer together; embeddings say no more than whether a text counts as unseen."""
    names = [task_name(task) for task in candidates or range(len(router.centroids))]
    even = tuple((name, 1 / len(names)) for name in names)
    scores = None if router.reach_of_all is None else router.unseen(asked.embeddings)
    if scores is None:
        return [Choice(even, together=by_token)] * len(asked.instructions)
    on_unseen = BACKBONE if router.on_unseen == BACKBONE else ANSWER  # there is no weight to halve
    return [
        Choice(weights, unseen=score, together=by_token if weights else None)
        for score in scores.tolist()
        for weights in [_answering(even, score, on_unseen)]
    ]


def _finds(config: RunConfig) -> bool:
    """Say whether tasks are found by gradients, as many as there are."""
    return config.tasks == AUTO and find_affinity(config.affinity, parse_options(config.option)).evidence == GRADIENTS


def _weights(found: Routes) -> list[Weights]:
    """Return the weights over pools that a router gives each text."""
    if found.weights is None:
        return [((task_name(task), 1.0),) for task in found.task.tolist()]
    return [tuple((task_name(int(t)), float(row[t])) for t in np.flatnonzero(row)) for row in found.weights]


def _answering(weights: Weights, unseen: float | None, on_unseen: str) -> Weights:
    """Return the weights over pools that answer a text, by how unseen it is."""
    if not counts_as_unseen(unseen) or on_unseen == ANSWER:
        return weights
    return () if on_unseen == BACKBONE else tuple((pool, MIXED_WEIGHT * weight) for pool, weight in weights)


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
