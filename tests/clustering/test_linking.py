"""Linking local clusters to tasks."""

from dataclasses import replace

import numpy as np
import pytest

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering import linking
from fedrouter_sim.clustering.linking import MOST_LINKED, Linked, link
from fedrouter_sim.clustering.normalizing import unit_rows


def blobs(tasks: int, each: int, spread: float = 0.05) -> tuple[Floats, Ints]:
    """Unit vectors around orthogonal ones, the tasks in turn but beginning with the last."""
    labels = np.tile(np.arange(tasks)[::-1], each)
    noise = np.random.default_rng(0).normal(size=(len(labels), tasks + 5)) * spread
    return unit_rows((np.eye(tasks, tasks + 5)[labels] + noise).astype(np.float32)), labels


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_a_cut_finds_the_number_of_tasks_which_are_numbered_by_first_member(tasks: int) -> None:
    vectors, labels = blobs(tasks, 6)
    found = link(vectors, cut=0.35)
    assert found.labels.tolist() == (tasks - 1 - labels).tolist()
    assert (found.units.tolist(), found.tree.shape, found.cut) == (list(range(len(labels))), (len(labels) - 1, 4), 0.35)
    np.testing.assert_allclose(found.affinity, np.clip(vectors @ vectors.T, -1, 1), atol=1e-6)


def test_a_lower_cut_holds_where_it_leaves_one_task() -> None:
    angles = np.deg2rad([0, 10, 60, 70])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    last = float((vectors[:2] @ vectors[2:].T).mean())  # the mean affinity of the two sets
    found = link(vectors, 0.9, cut_of_one=last - 0.01)
    assert found.labels.tolist() == [0, 0, 0, 0] and found.cut == last - 0.01
    for one in (None, 0.9, last + 0.01):
        found = link(vectors, 0.9, cut_of_one=one)
        assert found.labels.tolist() == [0, 0, 1, 1] and found.cut == 0.9
    assert link(vectors, 0.3, cut_of_one=0.4).cut == 0.3  # a cut that leaves one task anyway


def test_the_cut_decides_how_alike_one_task_is() -> None:
    angles = np.deg2rad([0, 10, 60, 75])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    counts = [link(vectors, cut).labels.max() + 1 for cut in (1, 0.97, 0.9, 0.3, -1)]
    assert counts == [4, 3, 2, 1, 1]


def test_what_lies_around_the_cut_is_known_even_where_it_lies_at_a_merge() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.8, 0.6]], dtype=np.float32)
    found = link(vectors, 0.75)
    assert found.around_cut() == (pytest.approx(0.8), pytest.approx(0.2))
    at_a_merge = link(vectors, 1 - float(found.tree[1, 2]))
    assert at_a_merge.labels.max() == 1 and at_a_merge.around_cut()[0] == pytest.approx(0.8)
    assert link(vectors, 0.1).around_cut() == (pytest.approx(0.2), None)
    assert link(vectors[1:2], 0.1).around_cut() == (None, None)
    assert link(vectors[:2], 0.5).around_cut() == (None, pytest.approx(0.0))


def test_linkage_is_by_the_mean_of_the_affinities() -> None:
    vectors = unit_rows(np.array([[1, 0], [0.99, 0.1], [0.5, 0.8]], dtype=np.float32))
    mean = float((vectors[0] @ vectors[2] + vectors[1] @ vectors[2]) / 2)
    assert link(vectors, mean - 1e-4).labels.tolist() == [0, 0, 0]
    assert link(vectors, mean + 1e-4).labels.tolist() == [0, 0, 1]


@pytest.mark.parametrize("tasks", range(1, 9))
def test_a_number_gives_exactly_so_many_whatever_the_cut(tasks: int) -> None:
    vectors = unit_rows(np.random.default_rng(1).normal(size=(8, 3)).astype(np.float32))
    found = link(vectors, cut=0.35, tasks=tasks)
    assert sorted(set(found.labels.tolist())) == list(range(tasks)) and found.labels[0] == 0
    assert link(vectors, cut=found.cut).labels.tolist() == found.labels.tolist()


@pytest.mark.parametrize("tasks", range(1, 7))
def test_a_number_gives_exactly_so_many_where_merges_are_at_the_same_height(tasks: int) -> None:
    """As where noise is corrected for, and affinities beyond 1 are 1."""
    vectors = 2 * np.eye(2, dtype=np.float32)[[0, 0, 0, 1, 1, 1]]
    found = link(vectors, cut=0.35, tasks=tasks)
    assert sorted(set(found.labels.tolist())) == list(range(tasks))
    assert tasks < 2 or not set(found.labels[:3].tolist()) & set(found.labels[3:].tolist())


def test_more_tasks_than_clusters_are_as_many_as_clusters() -> None:
    assert link(blobs(3, 1)[0], 0.35, tasks=7).labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("tasks", [None, 1, 4])
def test_a_single_cluster_is_the_only_task(tasks: int | None) -> None:
    found = link(np.ones((1, 3), dtype=np.float32), 0.35, tasks)
    assert (found.labels.tolist(), found.tree.shape, found.affinity.tolist()) == ([0], (0, 4), [[1]])


def test_affinities_are_clipped_and_that_with_itself_is_one() -> None:
    found = link(np.array([[3, 0], [3, 0.1], [-2, 0], [0.1, 0]], dtype=np.float32), 0.35)
    assert found.affinity.min() == -1 and found.affinity.max() == 1
    assert np.diag(found.affinity).tolist() == [1] * 4


@pytest.mark.parametrize("tasks", [None, 3])
def test_beyond_a_thousand_micro_clusters_give_the_same_tasks(
    tasks: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, labels = blobs(3, 400)
    assert len(vectors) > MOST_LINKED
    found = link(vectors, 0.35, tasks)
    assert found.labels.tolist() == (2 - labels).tolist()
    assert len(found.affinity) == found.units.max() + 1 <= MOST_LINKED and len(found.units) == len(vectors)
    monkeypatch.setattr(linking, "MOST_LINKED", 10**6)
    without = link(vectors, 0.35, tasks)
    assert len(without.affinity) == len(vectors) and without.labels.tolist() == found.labels.tolist()


def test_what_is_written_is_read_back_and_what_does_not_fit_is_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    for found in (link(vectors, 0.4), replace(link(vectors, 0.4), unrelated=0.1), link(vectors, 0.4, tasks=2)):
        again = Linked.of_tensors(found.tensors())
        assert (again.cut, again.wanted, again.unrelated) == (found.cut, found.wanted, found.unrelated)
        assert again.labels.tolist() == found.labels.tolist()
    assert link(vectors, 0.4).wanted == 0.4 and link(vectors, 0.4, tasks=2).wanted is None
    assert link(np.ones((3, 1), dtype=np.float32) * 0.6, 0.4, cut_of_one=0.3).wanted == 0.4
    with pytest.raises(ValueError, match="cut, rows_sketched, wanted must be one number each"):
        Linked.of_tensors(link(vectors, 0.4).tensors() | {"wanted": np.array([0.4, 0.5])})
