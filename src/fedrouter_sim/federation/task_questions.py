"""What the server asks of clients in order to find the tasks: local clusters, their sketches, and corrections."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.backbone.sketching import SKETCH
from fedrouter_sim.clustering.across_clients import auto_clusters
from fedrouter_sim.clustering.kmeans import Clustering, kmeans, nearest, numbered
from fedrouter_sim.clustering.normalizing import Normalizer, unit_rows
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.questions import Question, grouped
from fedrouter_sim.messages import Agreement, CentroidMessage, FeatureSums, LocalClusters, RowTasks
from fedrouter_sim.randomness import derive_seed, numpy_generator
from fedrouter_sim.routing import task_name

SKETCHED_ROWS = 144  # of a client, at most: what discovery costs is one pass backwards over each
SKETCH_SHARE = 0.3  # of a row's sketch in local clustering; the rest is its embedding's


@dataclass(frozen=True)
class Sketching:
    """How gradients are sketched, of which rows. Clients know it all by the run's seed: nothing is sent."""

    start: Adapter = field(repr=False)  # the common start
    seed: int  # the run's
    rows: int = SKETCHED_ROWS

    def positions(self, client: Client) -> Ints:
        """Draw the rows of a client that are sketched, in ascending order."""
        order = numpy_generator(self.seed, "sketched rows", client.id).permutation(len(client.examples))
        return np.sort(order[: self.rows])

    def clustering(self, client: Client, points: Floats, clusters: int, seed: int) -> Clustering:
        """Cluster a client's rows by what goes in and by what has to come out: by embedding and sketch side by side.

        Rows that are not sketched go with the sketched row that is nearest in embedding.

        Args:
            client: whose rows they are.
            points: their normalised embeddings (n, d).
            clusters: how many, at most.
            seed: of k-means.
        """
        positions = self.positions(client)
        rows = client.sketches(positions.tolist(), self.start, self.seed)
        shares = np.sqrt(np.array([1 - SKETCH_SHARE, SKETCH_SHARE], dtype=np.float32))
        joined = np.concatenate([unit_rows(points[positions]) * shares[0], rows * shares[1]], axis=1)
        found = kmeans(joined, clusters, seed).labels
        labels = found[nearest(points, points[positions]).index]
        labels[positions] = found  # also of one that has the same embedding as another
        return numbered(points, labels)

    def halves(self, client: Client, parts: Ints) -> Floats:
        """Return the sums of the sketches of every second row, and of those between, of each part, (k, 2, m).

        Args:
            client: whose rows they are.
            parts: part of each of the client's rows, (n,), of k parts in all.
        """
        positions = self.positions(client)
        rows = client.sketches(positions.tolist(), self.start, self.seed)
        own = parts[positions]
        halves = np.zeros((int(parts.max()) + 1, 2, rows.shape[1]), dtype=np.float32)
        for part in range(len(halves)):
            of_part = rows[own == part]
            halves[part] = of_part[0::2].sum(axis=0), of_part[1::2].sum(axis=0)
        return halves


@dataclass(frozen=True)
class FirstUpdates(Sketching):
    """Sketches of what a first round would make of each half of a local cluster, in place of its gradient: what other
    methods cluster clients by. It costs the optimizer steps of a round of the client, shared among the halves, of
    which each takes one at least."""

    steps: int = 10  # of a client

    def clustering(self, client: Client, points: Floats, clusters: int, seed: int) -> Clustering:
        """Cluster a client's rows by embedding alone: there are no updates before there are clusters."""
        return kmeans(points, clusters, seed)

    def halves(self, client: Client, parts: Ints) -> Floats:
        """Return the sketches of the updates by every second row, and by those between, of each part, (k, 2, m)."""
        count = int(parts.max()) + 1
        halves = np.zeros((count, 2, SKETCH), dtype=np.float32)
        for part in range(count):
            for half in (0, 1):
                rows = np.flatnonzero(parts == part)[half::2].tolist()
                if rows:
                    steps = max(1, self.steps // (2 * count))
                    halves[part, half] = client.first_update(rows, self.start, steps, (part, half))
        return halves


@dataclass(frozen=True)
class AskFeatureSums(Question[FeatureSums]):
    """What standardisation needs of a client."""

    def answer(self, client: Client) -> FeatureSums:
        """Sum the features of the client's embeddings."""
        return FeatureSums.of(client.embeddings)


@dataclass(frozen=True)
class AskAgreement(Question[Agreement]):
    """By the embeddings of which layer a client's rows cluster as their gradients do."""

    normalizers: tuple[Normalizer, ...]  # one a layer
    clusters: int | None  # None: as many as go by its rows
    seed: int  # the run's
    sketching: Sketching

    @property
    def nbytes(self) -> int:
        """Size of the normalisation that is sent along."""
        return sum(one.nbytes for one in self.normalizers)

    def answer(self, client: Client) -> Agreement:
        """Cluster the sketched rows by each layer, and compare the sketches within the clusters."""
        positions = self.sketching.positions(client)
        rows = client.sketches(positions.tolist(), self.sketching.start, self.sketching.seed)
        seed = derive_seed(self.seed, "local clustering", client.id)
        points = [one(client.embeddings[positions]) for one in self.normalizers]
        clusters = self.clusters or auto_clusters(len(client.examples))
        cosines = [mean_cosine_within(rows, kmeans(own, clusters, seed).labels) for own in points]
        return Agreement(client.id, np.array(cosines), len(rows))


def mean_cosine_within(rows: Floats, labels: Ints) -> float:
    """Return the mean cosine of two different rows of a cluster, over the rows; 0 where no cluster has two.

    Args:
        rows: (n, m), of unit length.
        labels: cluster of each, (n,).
    """
    sizes = np.bincount(labels)
    sums = np.zeros((len(sizes), rows.shape[1]))
    np.add.at(sums, labels, rows)
    several = sizes > 1
    pairs = ((sums[several] ** 2).sum(axis=1) - sizes[several]) / (sizes[several] - 1)  # times the cluster's rows
    return float(pairs.sum() / sizes[several].sum()) if several.any() else 0.0


@dataclass(frozen=True)
class AskLocalClusters(Question[LocalClusters]):
    """A client's local clusters (step 2 and 3): k_l of them, fewer if it has fewer distinct examples."""

    normalizer: Normalizer
    clusters: int | None  # None: as many as go by its rows
    seed: int  # the run's
    sketching: Sketching | None = None  # of their gradients; None: they are not asked for

    @property
    def nbytes(self) -> int:
        """Size of the normalisation that is sent along."""
        return self.normalizer.nbytes

    def answer(self, client: Client) -> LocalClusters:
        """Cluster the client's own examples."""
        points = self.normalizer(client.embeddings)
        seed = derive_seed(self.seed, "local clustering", client.id)
        clusters = self.clusters or auto_clusters(len(points))
        if self.sketching:
            found = self.sketching.clustering(client, points, clusters, seed)
        else:
            found = kmeans(points, clusters, seed)
        names = tuple(f"cluster {cluster}" for cluster in range(len(found.sizes)))
        grouping = grouped(client, found.labels, names)
        halves = self.sketching.halves(client, found.labels) if self.sketching else None
        sent = CentroidMessage(client.id, found.centroids, found.sizes, grouping.answer_tokens, halves)
        return LocalClusters(sent, grouping)


@dataclass(frozen=True)
class AskParts(Question[LocalClusters]):
    """Centroids, sizes and sketches of what a client has of each task, or of each task in each local cluster.

    The latter become prototypes: calibration rows are left out of their centroids where a part has other rows, since
    they are to say how far a text usually lies from them.
    """

    normalizer: Normalizer
    clusters: Mapping[int, Ints] = field(repr=False)  # client -> its local clusters
    tasks: Mapping[int, Ints] = field(repr=False)  # client -> task of each of its examples
    sketching: Sketching
    by_cluster: bool = False  # whether local clusters stay apart, and calibration rows out

    def answer(self, client: Client) -> LocalClusters:
        """Average over each part."""
        clusters, tasks = self.clusters[client.id], self.tasks[client.id]
        parts = list(zip((clusters if self.by_cluster else 0 * clusters).tolist(), tasks.tolist(), strict=True))
        known = {part: number for number, part in enumerate(dict.fromkeys(parts))}
        labels = np.array([known[part] for part in parts], dtype=np.int64)
        grouping = grouped(client, labels, tuple(f"cluster {cluster}, {task_name(task)}" for cluster, task in known))
        points = self.normalizer(client.embeddings)
        counted = np.ones(len(labels), dtype=bool)
        if self.by_cluster:
            counted[client.calibration_rows] = False
            counted |= np.bincount(labels, weights=counted)[labels] == 0
        means = [points[(labels == part) & counted].mean(axis=0, dtype=np.float64) for part in range(len(known))]
        centroids = np.stack(means)
        halves = self.sketching.halves(client, labels)
        sizes = np.bincount(labels).astype(np.int64)
        sent = CentroidMessage(client.id, centroids.astype(np.float32), sizes, grouping.answer_tokens, halves)
        return LocalClusters(sent, grouping, tuple(task for _, task in known))


@dataclass(frozen=True)
class AskCorrection(Question[RowTasks]):
    """To which task each example belongs, by its own gradient: local clusters of few rows are seldom pure.

    A sketched row goes to the task whose mean gradient, the row left out, its own is most aligned with, where the mean
    alignment of its local cluster counts as much as its own. Other rows go with the sketched row of their local cluster
    that is nearest in embedding.
    """

    normalizer: Normalizer
    clusters: Mapping[int, Ints] = field(repr=False)  # client -> its local clusters
    tasks: Mapping[int, Ints] = field(repr=False)  # client -> task of each example so far
    sums: Floats = field(repr=False)  # (T, m), the sums of the sketches of all clients' rows, bar those set aside
    counted: Mapping[int, NDArray[np.bool_]] = field(repr=False)  # client -> whether each example's part is in them
    sketching: Sketching

    @property
    def nbytes(self) -> int:
        """Size of the tasks' gradients that are sent along; which parts count is too small to be."""
        return self.sums.nbytes

    def answer(self, client: Client) -> RowTasks:
        """Compare the client's own rows with the tasks."""
        clusters, tasks = self.clusters[client.id], self.tasks[client.id].copy()
        positions = self.sketching.positions(client)
        rows = client.sketches(positions.tolist(), self.sketching.start, self.sketching.seed)
        alignment = aligned(rows, tasks[positions], self.sums, self.counted[client.id][positions])
        points = self.normalizer(client.embeddings)
        for cluster in range(int(clusters.max()) + 1):
            sketched = np.flatnonzero(clusters[positions] == cluster)
            members = np.flatnonzero(clusters == cluster)
            best = (alignment[sketched] + alignment[sketched].mean(axis=0)).argmax(axis=1)
            tasks[members] = best[nearest(points[members], points[positions[sketched]]).index]
            tasks[positions[sketched]] = best  # also of one that has the same embedding as another
        return RowTasks(client.id, tasks)


def aligned(rows: Floats, tasks: Ints, sums: Floats, counted: NDArray[np.bool_]) -> Floats:
    """Return the cosine of each row's sketch with the sum of each task's others, (n, T): -1 of a task that has no
    sum, and 0 of the row's own if nothing else is in it.

    Args:
        rows: unit sketches (n, m).
        tasks: of the rows, (n,).
        sums: (T, m).
        counted: whether the rows are in the sums of their tasks, (n,).
    """
    found = rows @ unit_rows(sums).T
    found[:, ~sums.any(axis=1)] = -1
    own = sums[tasks] - rows * counted[:, None]
    found[np.arange(len(rows)), tasks] = (rows * unit_rows(own)).sum(axis=1)
    return np.asarray(found, dtype=np.float32)
