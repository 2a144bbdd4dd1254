"""Linking local clusters to tasks by their affinity: average linkage, cut at an affinity or at a number of tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import cut_tree, fcluster, linkage
from scipy.spatial.distance import squareform

from fedrouter_sim.arrays import Bools, Floats, Ints
from fedrouter_sim.clustering.kmeans import kmeans, numbered_by_first

CUT = 0.45
"""The cut where none is given, and nothing is known by which to set one."""

MOST_LINKED = 1000  # beyond so many, k-means makes micro-clusters first: linkage takes memory by the square
MICRO_CLUSTERS = 500


@dataclass(frozen=True)
class Linked:
    """Local clusters, linked."""

    labels: Ints  # (n,), task of each local cluster; tasks are numbered by first member
    affinity: Floats  # (u, u), of the units that were linked: the local clusters, or micro-clusters of them
    units: Ints  # (n,), the unit of each local cluster
    tree: NDArray[np.float64]  # (u - 1, 4), SciPy's linkage matrix; heights are 1 - affinity
    cut: float  # the affinity at which it was cut
    corrected: Ints | None = None  # (n,), task of most rows of each local cluster in the end, where rows were corrected
    rows_sketched: int = 0  # rows whose gradients were sketched for it, of all clients
    wanted: float | None = None  # the cut that was to be; `cut` is below it where all are one task; None: not known
    unrelated: float | None = None  # mean affinity of unrelated tasks, by which it was set; None: it was not

    @property
    def unit_tasks(self) -> Ints:
        """The task of each unit in the end, (u,): of most of its local clusters, the first of equal ones."""
        tasks = self.labels if self.corrected is None else self.corrected
        votes = np.zeros((len(self.affinity), int(tasks.max()) + 1), dtype=np.int64)
        np.add.at(votes, (self.units, tasks), 1)
        return np.asarray(votes.argmax(axis=1), dtype=np.int64)

    @property
    def within_cut(self) -> Bools:
        """Which merges of the tree lie within the cut, (u - 1,), as SciPy's fcluster has it."""
        return np.asarray(self.tree[:, 2] <= 1 - self.cut)

    def around_cut(self) -> tuple[float | None, float | None]:
        """Return the mean affinities of the last sets that were joined and of those that would be next; None where
        there are none."""
        affinities = 1 - self.tree[:, 2]
        joined, apart = affinities[self.within_cut], affinities[~self.within_cut]
        return float(joined[-1]) if len(joined) else None, float(apart[0]) if len(apart) else None

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays by name, as it is written to disk."""
        found: dict[str, NDArray[Any]] = {
            "labels": self.labels,
            "affinity": self.affinity,
            "units": self.units,
            "tree": self.tree,
            "cut": np.array([self.cut]),
            "rows_sketched": np.array([self.rows_sketched]),
        }
        found |= {} if self.corrected is None else {"corrected": self.corrected}
        numbers = {"wanted": self.wanted, "unrelated": self.unrelated}
        return found | {name: np.array([value]) for name, value in numbers.items() if value is not None}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, NDArray[Any]]) -> "Linked":
        """Return what such arrays are of.

        Raises:
            LookupError: one is missing.
            ValueError: they do not fit each other.
        """
        labels, affinity, units, tree = (tensors[name] for name in ("labels", "affinity", "units", "tree"))
        corrected = tensors.get("corrected")
        whole = [own for own in (labels, units, corrected) if own is not None]
        if any(own.dtype.kind != "i" or own.ndim != 1 for own in whole) or {affinity.dtype.kind, tree.dtype.kind} != {
            "f"
        }:
            raise ValueError("the arrays of linked local clusters are not of the types that they should be")
        count = len(affinity) if affinity.ndim else 0
        if (
            affinity.shape != (count, count)
            or tree.shape != (count - 1, 4)
            or any(of_all is not None and of_all.shape != units.shape for of_all in (labels, corrected))
            or not (len(units) and 0 <= units.min() <= units.max() < count)
            or min(own.min() for own in whole) < 0
            or max(own.max() for own in whole) >= len(units)
            or np.abs(affinity).max() > 1.001
            or not _is_tree(tree)
        ):
            raise ValueError("the arrays of linked local clusters do not fit each other")
        single = {name: tensors[name] for name in ("cut", "rows_sketched", "wanted", "unrelated") if name in tensors}
        if any(one.shape != (1,) for one in single.values()):
            raise ValueError(f"{', '.join(single)} must be one number each")
        cut, rows = float(tensors["cut"][0]), int(tensors["rows_sketched"][0])
        wanted, unrelated = (float(single[name][0]) if name in single else None for name in ("wanted", "unrelated"))
        return cls(labels, affinity, units, tree, cut, corrected, rows, wanted, unrelated)


def cut_in(setting: float | str) -> float:
    """Return the cut of a setting: its number, or the usual one."""
    return CUT if isinstance(setting, str) else setting


def link(
    vectors: Floats, cut: float, tasks: int | None = None, seed: int = 0, cut_of_one: float | None = None
) -> Linked:
    """Link local clusters whose mean affinity is above a cut.

    Args:
        vectors: (n, d), n > 0; inner products are affinities, and are clipped to [-1, 1].
        cut: the affinity.
        tasks: so many tasks instead, if there are as many units; the cuts are then not used.
        seed: of the k-means that makes micro-clusters.
        cut_of_one: if even the last two sets to be joined are as alike as this, all are one task; None: as `cut`.
    """
    units, wanted = np.arange(len(vectors)), cut if tasks is None else None
    if len(vectors) > MOST_LINKED:
        micro = kmeans(vectors, MICRO_CLUSTERS, seed, restarts=1, iterations=5)
        vectors, units = micro.centroids, micro.labels
    affinity = np.clip(vectors @ vectors.T, -1, 1)
    np.fill_diagonal(affinity, 1)
    if len(vectors) == 1:
        return Linked(np.zeros(len(units), dtype=np.int64), affinity, units, np.empty((0, 4)), cut, wanted=wanted)
    tree = linkage(squareform(1 - (affinity.astype(np.float64) + affinity.T) / 2, checks=False), "average")
    if tasks is None:
        if cut_of_one is not None and cut_of_one <= 1 - tree[-1, 2] < cut:
            cut = cut_of_one
        found = fcluster(tree, 1 - cut, "distance")[units]
    else:  # by the number of merges: several may be at the same height
        cut = _cut_into(tree, tasks)
        found = cut_tree(tree, n_clusters=min(tasks, len(vectors)))[units, 0]
    return Linked(numbered_by_first(found), affinity, units, tree, cut, wanted=wanted)


def _is_tree(tree: NDArray[np.float64]) -> bool:
    """Say whether each merge is of two that were there before it and are used once, as in SciPy's matrix."""
    merged = tree[:, :2].ravel()
    before = len(tree) + 1 + np.arange(len(tree))
    return bool((tree[:, :2] < before[:, None]).all() and np.array_equal(np.sort(merged), np.arange(len(merged))))


def _cut_into(tree: NDArray[np.float64], tasks: int) -> float:
    """Return the affinity between the two merges around so many tasks."""
    heights = np.concatenate([[2 * tree[0, 2] - tree[-1, 2] - 1], tree[:, 2], [tree[-1, 2] + 1]])
    merges = max(0, len(tree) + 1 - tasks)
    return float(1 - (heights[merges] + heights[merges + 1]) / 2)
