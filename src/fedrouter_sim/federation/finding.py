"""Finding the tasks: local clusters of all clients, linked to tasks by their affinity, and their rows corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.across_clients import by_kmeans, cluster_globally, link_parts, split_by_client
from fedrouter_sim.clustering.affinities import find_affinity
from fedrouter_sim.clustering.affinities.affinity import Affinity
from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.config import STANDARDIZING
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.task_questions import (
    AskCorrection,
    AskFeatureSums,
    AskLocalClusters,
    AskParts,
    Sketching,
)
from fedrouter_sim.messages import CentroidMessage, LocalClusters
from fedrouter_sim.tables import parse_options

AUTO_CLUSTERS = 6  # local clusters, where their number is not given: more than most clients have tasks
CORRECTIONS = 2  # passes in which rows go to the task that their gradients are aligned with


@dataclass(frozen=True)
class FoundTasks:
    """The tasks as they were found."""

    normalizer: Normalizer
    clients: tuple[LocalClusters, ...]  # each client's parts, in client order: its local clusters, split by task
    assignment: tuple[tuple[int, ...], ...]  # task of each part of each client
    linked: Linked | None = None  # how local clusters were linked; None: they were clustered by k-means

    @property
    def messages(self) -> tuple[CentroidMessage, ...]:
        """What clients sent of their parts."""
        return tuple(client.sent for client in self.clients)

    @property
    def count(self) -> int:
        """The number of tasks."""
        return max(task for own in self.assignment for task in own) + 1


def find_tasks(federation: Federation) -> FoundTasks:
    """Cluster locally, then globally (steps 1 to 3).

    With a number of tasks and the affinity `centroid` the global stage is the paper's: k-means on the centroids. Else
    local clusters are linked by affinity, up to a cut or to the number of tasks. Where the affinity goes by gradients,
    rows are then corrected by theirs, and what each client holds of a task is linked once more.

    Raises:
        UserError: there are fewer distinct local clusters than tasks wanted.
    """
    config = federation.config
    sums = federation.ask(AskFeatureSums()) if config.normalize in STANDARDIZING else []
    normalizer = Normalizer.of(config.normalize, sums)
    affinity = find_affinity(config.affinity, parse_options(config.option))
    sketching = Sketching(federation.initial, config.seed) if affinity.sketches else None
    wanted = AUTO_CLUSTERS if isinstance(config.local_clusters, str) else config.local_clusters
    answers = tuple(federation.ask(AskLocalClusters(normalizer, wanted, config.seed, sketching)))
    messages = [answer.sent for answer in answers]
    if by_kmeans(config):
        found = cluster_globally(messages, int(config.tasks), config.seed)
        return FoundTasks(normalizer, answers, split_by_client(found.labels, messages))
    linked = link_parts(messages, affinity, config)
    assignment = split_by_client(linked.labels, messages)
    if sketching is None:
        return FoundTasks(normalizer, answers, assignment, linked)
    sketched = sum(int(np.minimum(message.sizes, sketching.rows).sum()) for message in messages)
    clusters = {answer.sent.client: answer.grouping.labels for answer in answers}
    parts = _corrected(federation, affinity, normalizer, sketching, clusters, messages, assignment)
    ended = np.concatenate([_tasks_of_most_rows(part, clusters[part.sent.client]) for part in parts])
    linked = replace(linked, corrected=ended, rows_sketched=sketched)
    return FoundTasks(normalizer, parts, tuple(part.tasks for part in parts), linked)


def _tasks_of_most_rows(parts: LocalClusters, clusters: Ints) -> Ints:
    """Return the task of most rows of each of a client's local clusters, (k,), the first of equal ones."""
    tasks = np.asarray(parts.tasks)[parts.grouping.labels]
    votes = np.zeros((int(clusters.max()) + 1, int(tasks.max()) + 1), dtype=np.int64)
    np.add.at(votes, (clusters, tasks), 1)
    return np.asarray(votes.argmax(axis=1), dtype=np.int64)


def _corrected(
    federation: Federation,
    affinity: Affinity,
    normalizer: Normalizer,
    sketching: Sketching,
    clusters: Mapping[int, Ints],
    messages: Sequence[CentroidMessage],
    assignment: Sequence[Sequence[int]],
) -> tuple[LocalClusters, ...]:
    """Send rows to the tasks that their gradients are aligned with, link again, and have the final parts described."""
    tasks = {m.client: np.asarray(own)[clusters[m.client]] for m, own in zip(messages, assignment, strict=True)}
    for _ in range(CORRECTIONS):
        sums = _sums(messages, assignment)
        corrections = federation.ask(AskCorrection(normalizer, clusters, tasks, sums, sketching))
        tasks = {correction.client: correction.tasks for correction in corrections}
        parts = federation.ask(AskParts(normalizer, clusters, tasks, sketching))
        messages, assignment = [part.sent for part in parts], [part.tasks for part in parts]
    linked = link_parts(messages, affinity, federation.config)
    for part, own in zip(parts, split_by_client(linked.labels, messages), strict=True):
        tasks[part.sent.client] = np.asarray(own)[part.grouping.labels]
    return tuple(federation.ask(AskParts(normalizer, clusters, tasks, sketching, by_cluster=True)))


def _sums(messages: Sequence[CentroidMessage], assignment: Sequence[Sequence[int]]) -> Floats:
    """Add up the sketches of each task's parts, (T, m); zeros for a task that has none."""
    tasks = np.array([task for own in assignment for task in own])
    halves = np.concatenate([message.halves.sum(axis=1) for message in messages if message.halves is not None])
    return np.stack([halves[tasks == task].sum(axis=0) for task in range(int(tasks.max()) + 1)])
