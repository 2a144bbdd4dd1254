"""Finding the tasks: local clusters of all clients, linked to tasks by their affinity, and their rows corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.across_clients import (
    by_kmeans,
    cluster_globally,
    link_parts,
    local_clusters_of,
    split_by_client,
)
from fedrouter_sim.clustering.affinities import find_affinity
from fedrouter_sim.clustering.affinities.affinity import GRADIENTS, UPDATES, Affinity
from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.clustering.normalizing import Layer, Normalizer
from fedrouter_sim.clustering.trusting import counted_parts
from fedrouter_sim.config.words import AUTO, LAST, STANDARDIZING
from fedrouter_sim.federation.cutting import alike_unrelated, with_cut
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.task_questions import (
    AskAgreement,
    AskCorrection,
    AskFeatureSums,
    AskLocalClusters,
    AskParts,
    FirstUpdates,
    Sketching,
)
from fedrouter_sim.messages import CentroidMessage, LocalClusters, Tasks
from fedrouter_sim.tables import parse_options

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


def find_tasks(federation: Federation, normalizer: Normalizer | None = None) -> FoundTasks:
    """Cluster locally, then globally (steps 1 to 3).

    With a number of tasks and the affinity `centroid` the global stage is the paper's: k-means on the centroids. Else
    local clusters are linked by affinity, up to a cut or to the number of tasks. Where the affinity goes by gradients,
    rows are then corrected by theirs, and what each client holds of a task is linked once more; under differential
    privacy they are not, as it has clients send sketches again.

    Args:
        federation: whose clients' rows they are.
        normalizer: of embeddings; None: that of these rows.

    Raises:
        UserError: there are fewer distinct local clusters than tasks wanted.
    """
    config = federation.config
    normalizer = normalizer or normalizer_of(federation)
    affinity = find_affinity(config.affinity, parse_options(config.option))
    alike = alike_unrelated(federation, affinity, normalizer.layer)
    federation = with_cut(federation, affinity, alike)
    config, sketching = federation.config, _sketching(affinity, federation)
    answers = tuple(federation.ask(AskLocalClusters(normalizer, _clusters(federation), config.seed, sketching)))
    messages = [answer.sent for answer in answers]
    if by_kmeans(config):
        found = cluster_globally(messages, int(config.tasks), config.seed, config.robust_clustering)
        return FoundTasks(normalizer, answers, split_by_client(found.labels, messages))
    linked = replace(link_parts(messages, affinity, config), unrelated=alike)
    assignment = split_by_client(linked.labels, messages)
    if affinity.evidence != GRADIENTS or sketching is None or federation.guard is not None:
        return FoundTasks(normalizer, answers, assignment, linked)
    sketched = sum(min(int(message.sizes.sum()), sketching.rows) for message in messages)
    clusters = {answer.sent.client: answer.grouping.labels for answer in answers}
    federation.tell({a.sent.client: Tasks(a.sent.client, own) for a, own in zip(answers, assignment, strict=True)})
    tasks = _of_rows(answers, assignment)
    sums, counted = _sums(messages, assignment, config.robust_clustering)
    del answers, messages  # of many clients they take more memory than all else
    parts = _corrected(federation, affinity, normalizer, sketching, clusters, tasks, sums, counted)
    ended = np.concatenate([_tasks_of_most_rows(part, clusters[part.sent.client]) for part in parts])
    linked = replace(linked, corrected=ended, rows_sketched=sketched)
    return FoundTasks(normalizer, parts, tuple(part.tasks for part in parts), linked)


def normalizer_of(federation: Federation, layer: Layer | None = None) -> Normalizer:
    """Return the normaliser of all that clients hold.

    Args:
        federation: whose clients' rows they are.
        layer: of the embeddings; None: the one that embeds, or where there are several the best of them.
    """
    kind, sums, least = federation.config.normalize, [], 0.0
    if kind in STANDARDIZING:
        sums, least = federation.ask(AskFeatureSums()), federation.guard.least_deviation if federation.guard else 0.0
    found = Normalizer.of(kind, sums, least)
    if federation.embedded == (LAST,):
        return found
    return found.of_layer(layer or _best_layer(federation, found))


def _best_layer(federation: Federation, normalizer: Normalizer) -> Layer:
    """Return the layer by whose embeddings the clients' local clusters agree best in their gradients; of equal ones the
    last. It is chosen once, before anything is clustered, and no label is read.

    Args:
        federation: whose clients' rows they are.
        normalizer: of the embeddings of all layers side by side.
    """
    names, config = [str(name) for name in federation.embedded], federation.config
    layers = [Layer(name, place, len(names)) for place, name in enumerate(names)]
    if len(layers) == 1:
        return layers[0]
    each = tuple(normalizer.of_layer(layer) for layer in layers)
    sketching = Sketching(federation.initial, config.seed)
    told = federation.ask(AskAgreement(each, _clusters(federation), config.seed, sketching))
    cosines = np.average([one.cosines for one in told], axis=0, weights=[one.rows for one in told])
    best = int(np.flatnonzero(cosines == cosines.max())[-1])
    return replace(layers[best], agreement=dict(zip(names, cosines.tolist(), strict=True)))


def described_by(normalizer: Normalizer, federation: Federation, found: FoundTasks) -> tuple[CentroidMessage, ...]:
    """Return what clients send of the parts of tasks that were found by gradients, in another space.

    Args:
        normalizer: of that space.
        federation: in which they were found.
        found: the tasks.
    """
    affinity = find_affinity(federation.config.affinity, parse_options(federation.config.option))
    sketching = _sketching(affinity, federation)
    if sketching is None:
        raise ValueError("parts are described by sketches as well, and this affinity has none")
    parts = {client.sent.client: client.grouping.labels for client in found.clients}
    tasks = _of_rows(found.clients, found.assignment)
    answers = federation.ask(AskParts(normalizer, parts, tasks, sketching, by_cluster=True))
    return tuple(answer.sent for answer in answers)


def _clusters(federation: Federation) -> int | None:
    """Return how many local clusters clients are asked for; None: each goes by its rows.

    Under differential privacy all make as many, as how many rows a client has is not to be seen.
    """
    config = federation.config
    return None if config.local_clusters == AUTO and federation.guard is None else local_clusters_of(config)


def _sketching(affinity: Affinity, federation: Federation) -> Sketching | None:
    """Return what an affinity has clients sketch."""
    config = federation.config
    if affinity.evidence == UPDATES:
        return FirstUpdates(federation.initial, config.seed, steps=config.local_steps)
    return Sketching(federation.initial, config.seed) if affinity.evidence == GRADIENTS else None


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
    tasks: Mapping[int, Ints],
    sums: Floats,
    counted: Mapping[int, NDArray[np.bool_]],
) -> tuple[LocalClusters, ...]:
    """Send rows to the tasks that their gradients are aligned with, link again, and have the final parts described.

    Where so many parts would not be left as tasks are wanted, rows stay where they are.

    Args:
        federation: whose clients' rows they are.
        affinity: by which parts are linked.
        normalizer: of embeddings.
        sketching: of gradients.
        clusters: client -> its local clusters.
        tasks: client -> task of each of its examples so far.
        sums: (T, m), of the sketches of each task.
        counted: client -> whether each of its local clusters is in them.
    """
    config = federation.config
    parts: Sequence[LocalClusters] = ()
    labels = clusters
    for _ in range(CORRECTIONS):
        if parts:
            sent, assignment = [part.sent for part in parts], [part.tasks for part in parts]
            sums, counted = _sums(sent, assignment, config.robust_clustering)
            labels = {part.sent.client: part.grouping.labels for part in parts}
        inside = {client: own[labels[client]] for client, own in counted.items()}
        corrections = federation.ask(AskCorrection(normalizer, clusters, tasks, sums, inside, sketching))
        left = sum(len(np.unique(correction.tasks)) for correction in corrections)
        if not isinstance(config.tasks, str) and left < config.tasks:
            break
        tasks = {correction.client: correction.tasks for correction in corrections}
        parts = federation.ask(AskParts(normalizer, clusters, tasks, sketching))
    if parts:
        messages = [part.sent for part in parts]
        tasks = _of_rows(parts, split_by_client(link_parts(messages, affinity, config).labels, messages))
    return tuple(federation.ask(AskParts(normalizer, clusters, tasks, sketching, by_cluster=True)))


def _of_rows(parts: Sequence[LocalClusters], assignment: Sequence[tuple[int, ...]]) -> dict[int, Ints]:
    """Return the task of each row of each client by those of the parts."""
    return {
        part.sent.client: np.asarray(own)[part.grouping.labels] for part, own in zip(parts, assignment, strict=True)
    }


def _sums(
    messages: Sequence[CentroidMessage], assignment: Sequence[Sequence[int]], robust: float
) -> tuple[Floats, dict[int, NDArray[np.bool_]]]:
    """Add up the sketches of each task's parts, (T, m), but for those that are set aside; zeros for a task that has
    none. Return as well, for each client, which of its parts are in them."""
    tasks = np.array([task for own in assignment for task in own])
    counted = counted_parts(messages, robust, tasks)
    halves = np.concatenate(
        [message.halves.sum(axis=1, dtype=np.float32) for message in messages if message.halves is not None]
    )
    sums = np.stack([halves[(tasks == task) & counted].sum(axis=0) for task in range(int(tasks.max()) + 1)])
    ends = np.cumsum([len(own) for own in assignment])[:-1]
    of_client = zip((message.client for message in messages), np.split(counted, ends), strict=True)
    return sums, dict(of_client)
