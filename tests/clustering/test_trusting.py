"""Which local clusters count: those that others have as well."""

from dataclasses import replace

import numpy as np
import pytest

from fedrouter_sim.clustering.across_clients import cluster_globally, link_parts
from fedrouter_sim.clustering.affinities import find_affinity
from fedrouter_sim.clustering.trusting import counted_parts, support
from fedrouter_sim.config import RunConfig
from fedrouter_sim.messages import CentroidMessage

TASKS = np.eye(3, 8, dtype=np.float32)
HONEST = 6
LIARS = (0, 7)  # of 8 clients


def message(client: int, tasks: list[int], lies: float = 1.0, forged: int = 0) -> CentroidMessage:
    """Return the message of a client with a local cluster of each of some tasks."""
    rng = np.random.default_rng(client)
    centroids = lies * (TASKS[tasks] + rng.normal(0, 0.05, (len(tasks), 8)))
    sketches = np.roll(TASKS, forged, axis=0)[tasks][:, None] + rng.normal(0, 0.02, (len(tasks), 2, 8))
    sizes = np.full(len(tasks), 5)
    return CentroidMessage(client, centroids.astype(np.float32), sizes, sizes, sketches.astype(np.float32))


def plain(messages: list[CentroidMessage]) -> list[CentroidMessage]:
    return [replace(one, halves=None) for one in messages]


MIRRORED = [message(client, [0, 1, 2], -2.0 if client in LIARS else 1.0) for client in range(8)]
FORGED = [message(client, [0, 1, 2], forged=client in LIARS) for client in range(8)]
TRUE = [message(client, [0, 1, 2]) for client in range(8)]
LIES = np.repeat([client in LIARS for client in range(8)], 3)


def test_support_is_how_many_other_clients_have_something_alike() -> None:
    assert support(TRUE) == pytest.approx([7] * 24, abs=0.3)
    found = support(plain(MIRRORED))
    assert found[LIES] == pytest.approx([1] * 6, abs=0.1) and found[~LIES] == pytest.approx([5] * 18, abs=0.3)
    tasks = np.tile([0, 1, 2], 8)
    tasks[0] = 1  # a cluster that is said to be of another task than all that are like it
    assert support(TRUE, tasks)[0] == 0


def test_who_sends_more_supports_no_more() -> None:
    crowd = message(0, [0] * 50)
    assert support([crowd, message(1, [0])])[-1] == pytest.approx(1, abs=0.05)


def test_a_lie_in_either_evidence_is_found() -> None:
    for messages in (MIRRORED, plain(MIRRORED), FORGED):
        assert counted_parts(messages, 0.25).tolist() == (~LIES).tolist()
    assert support(plain(FORGED)) == pytest.approx([7] * 24, abs=0.3)  # nothing else is wrong with them


def test_a_share_is_set_aside_at_most_and_nothing_where_all_are_alike() -> None:
    assert counted_parts(MIRRORED, 0.0).all()
    assert (~counted_parts(MIRRORED, 0.13)).sum() == 3
    assert counted_parts(TRUE, 0.5).all()


def test_every_task_keeps_a_local_cluster_that_counts() -> None:
    messages = [message(client, [0]) for client in range(6)] + [message(6, [1])]
    tasks = np.array([0] * 6 + [1])
    assert counted_parts(messages, 0.3).tolist() == [True] * 6 + [False]
    assert counted_parts(messages, 0.3, tasks).all()


def test_what_is_set_aside_does_not_make_tasks_and_joins_one() -> None:
    spoilt, guarded = (cluster_globally(plain(MIRRORED), 3, 0, robust) for robust in (0.0, 0.25))
    honest = guarded.labels[~LIES].reshape(-1, 3)
    assert (honest == [0, 1, 2]).all() and set(guarded.labels.tolist()) == {0, 1, 2}
    assert np.abs(guarded.centroids - TASKS).max() < 0.1
    assert not (spoilt.labels[~LIES].reshape(-1, 3) == [0, 1, 2]).all() or np.abs(spoilt.centroids - TASKS).max() > 0.3
    config = RunConfig(tasks="auto", robust_clustering=0.25)
    linked = link_parts(FORGED, find_affinity("both"), config)
    # Tasks are numbered by first member, and the first client lies: its parts join those most alike.
    assert (linked.labels[~LIES].reshape(-1, 3) == [1, 2, 0]).all() and linked.labels[0] == 0
    assert len(linked.labels) == len(linked.units) == 24 and len(linked.affinity) == 18
    assert linked.labels.max() == 2
