"""Linked local clusters as arrays, and the task of each unit in the end."""

from dataclasses import replace

import numpy as np
import pytest

from fedrouter_sim.clustering.linking import Linked, link

VECTORS = np.array([[1, 0], [0, 1], [1, 0], [0.8, 0.6]], dtype=np.float32)


def test_linked_comes_back_from_its_arrays() -> None:
    linked = link(VECTORS, 0.75)
    for one in (linked, replace(linked, corrected=np.array([0, 1, 0, 1]), rows_sketched=7)):
        back = Linked.of_tensors(one.tensors())
        assert (back.cut, back.rows_sketched) == (0.75, one.rows_sketched)
        assert back.tensors().keys() == one.tensors().keys()
        assert all(np.array_equal(back.tensors()[name], array) for name, array in one.tensors().items())


def test_a_unit_is_of_the_task_of_most_of_its_local_clusters() -> None:
    linked = link(VECTORS, 0.75)
    assert linked.unit_tasks.tolist() == [0, 1, 0, 0]
    assert replace(linked, corrected=np.array([0, 1, 0, 1])).unit_tasks.tolist() == [0, 1, 0, 1]
    units = np.array([0, 0, 0, 1, 2, 3])
    assert replace(linked, units=units, labels=np.array([1, 0, 1, 0, 2, 0])).unit_tasks.tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"affinity": np.eye(3, dtype=np.float32)},
        {"affinity": np.ones((4, 3), dtype=np.float32)},
        {"units": np.array([0, 1, 2, 4])},
        {"units": np.array([], dtype=np.int64), "labels": np.array([], dtype=np.int64)},
        {"labels": np.array([0, 1])},
        {"labels": np.array([0, -1, 0, 0])},
        {"corrected": np.array([0])},
        {"tree": np.array([[0, 2, 0, 2], [0, 4, 0.2, 3], [1, 5, 0.9, 4]])},  # joins unit 0 twice
        {"tree": np.array([[5, 2, 0, 2], [3, 4, 0.2, 3], [1, 0, 0.9, 4]])},  # joins what is not there yet
        {"cut": np.array([1.0, 2.0])},
    ],
)
def test_arrays_that_do_not_fit_are_refused(wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError):
        Linked.of_tensors(link(VECTORS, 0.75).tensors() | wrong)
    with pytest.raises(LookupError):
        Linked.of_tensors({})
