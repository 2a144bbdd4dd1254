"""Messages: their size is that of what would be sent, and none of those that are sent holds a text."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim import messages
from fedrouter_sim.messages import (
    LOSS,
    Agreement,
    CentroidMessage,
    ClientEmbeddings,
    ClientFacts,
    Failed,
    FeatureSums,
    Grouping,
    GroupTokens,
    LocalClusters,
    PoolAdapter,
    Reach,
    RowTasks,
    StepTime,
    Tasks,
    UnseenRows,
    Update,
)

FACTS = ClientFacts(id=3, examples=30, answer_tokens=9)
SUMS = FeatureSums.of(np.array([[1, 2], [3, 4], [5, 9]], dtype=np.float32))
CENTROIDS = CentroidMessage(
    client=3,
    centroids=np.zeros((2, 64), dtype=np.float32),
    sizes=np.array([10, 20], dtype=np.int64),
    answer_tokens=np.array([5, 9], dtype=np.int64),
)
GROUPING = Grouping(3, np.array([0, 1, 0]), ("cluster 0", "cluster 1"), np.array([5, 9]))
CLUSTERS = LocalClusters(CENTROIDS, GROUPING)
EMBEDDINGS = ClientEmbeddings(3, (0, 2), np.zeros((2, 64), dtype=np.float32))
UPDATE = Update(
    client=3,
    group=0,
    pool="task-1",
    round=2,
    examples=30,
    clusters=(0, 1),
    adapter={"lora_A": torch.zeros(8, 64), "lora_B": torch.zeros(192, 8)},
    loss=1.5,
    steps=10,
    tokens=4000,
)
TASKS = Tasks(3, (0, 2), (np.zeros((4, 64), dtype=np.float32), np.zeros(4, dtype=np.int64)))
REACH = Reach(3, np.zeros((3, 25), dtype=np.float32), np.array([4, 0, 2]), np.zeros(33))
UNSEEN = UnseenRows(3, np.array([2, 7]), 30)
AGREEMENT = Agreement(3, np.array([0.5, 0.25]), 30)
SENT = [SUMS, AGREEMENT, CENTROIDS, CLUSTERS, UPDATE, TASKS, REACH, UNSEEN, PoolAdapter(UPDATE.adapter)]
ROW_TASKS = RowTasks(3, np.array([0, 2, 0]))
FAILED = Failed(3, 0, "task-1", 2, 0.1, LOSS, steps=4, spared=6, tokens=1600)
KEPT = [  # or too small to be counted
    FACTS, GROUPING, EMBEDDINGS, GroupTokens(3, (7.5,)), StepTime(3, 0.2, 90), ROW_TASKS, FAILED
]  # fmt: skip
every_message = pytest.mark.parametrize("message", [*SENT, *KEPT], ids=lambda message: type(message).__name__)


def test_all_messages_are_tested_here() -> None:
    there = {kind for kind in vars(messages).values() if dataclasses.is_dataclass(kind)}
    assert {type(message) for message in (*SENT, *KEPT)} == there


def test_a_centroid_message_is_as_large_as_its_arrays() -> None:
    assert CENTROIDS.nbytes == 4 * 2 * 64 + 8 * 2 + 8 * 2


def test_sketches_are_sent_with_the_centroids() -> None:
    sketched = dataclasses.replace(CENTROIDS, halves=np.zeros((2, 2, 512), dtype=np.float32))
    assert sketched.nbytes == CENTROIDS.nbytes + 2 * 2 * 2 * 512


def test_sketches_are_sent_in_half_precision(recwarn: pytest.WarningsRecorder) -> None:
    sent = dataclasses.replace(CENTROIDS, halves=np.array([[[1 / 3, 1e9]] * 2] * 2, dtype=np.float32)).halves
    assert sent is not None and sent.dtype == np.float16
    assert sent[0, 0].tolist() == [float(np.float16(1 / 3)), np.inf] and not recwarn.list


def test_of_local_clusters_the_centroid_message_is_sent_and_the_tasks_where_the_client_chose_them() -> None:
    assert CLUSTERS.nbytes == CENTROIDS.nbytes
    assert CLUSTERS.sent is CENTROIDS
    assert dataclasses.replace(CLUSTERS, tasks=(0, 2)).nbytes == CENTROIDS.nbytes + 8 * 2


def test_what_is_told_of_the_tasks_is_as_large_as_landmarks_and_numbers() -> None:
    assert TASKS.nbytes == 4 * 4 * 64 + 8 * 4 + 8 * 2
    assert Tasks(3, (0, 2)).nbytes == 8 * 2


def test_an_update_is_as_large_as_its_adapter() -> None:
    assert UPDATE.nbytes == PoolAdapter(UPDATE.adapter).nbytes == 4 * 8 * (64 + 192)


def test_feature_sums_are_as_large_as_two_sums_and_a_count() -> None:
    assert SUMS.nbytes == 2 * 2 * 8 + 8
    assert AGREEMENT.nbytes == 2 * 8 + 8


def test_feature_sums_add_up_in_double_precision() -> None:
    assert (SUMS.count, SUMS.total.tolist(), SUMS.total_squares.tolist()) == (3, [9, 15], [35, 101])
    large = FeatureSums.of(np.full((3, 1), 1e8 + 8, dtype=np.float32))
    assert large.total.dtype == large.total_squares.dtype == np.float64
    assert (large.total.tolist(), large.total_squares.tolist()) == ([3 * (1e8 + 8)], [3 * (1e8 + 8) ** 2])


@pytest.mark.parametrize("message", KEPT, ids=lambda message: type(message).__name__)
def test_what_stays_with_the_client_has_no_size(message: Any) -> None:
    assert message.nbytes == 0


@every_message
def test_messages_cannot_be_changed_after_sending(message: Any) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(message, dataclasses.fields(message)[0].name, 1)


def test_no_message_to_the_server_holds_a_text_beside_the_pools_name() -> None:
    for message in (SUMS, CLUSTERS.sent, UPDATE):
        texts = {f.name for f in dataclasses.fields(message) if isinstance(getattr(message, f.name), str)}
        assert texts <= {"pool"}
        for field in dataclasses.fields(message):
            value = getattr(message, field.name)
            assert not isinstance(value, np.ndarray) or value.dtype.kind in "fi"


def test_clusters_are_taken_and_joined() -> None:
    halves = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    message = dataclasses.replace(CENTROIDS, halves=halves)
    last = message.taken(np.array([1]))
    assert (last.client, last.sizes.tolist(), last.answer_tokens.tolist()) == (3, [20], [9])
    both = message.joined(last)
    assert both.sizes.tolist() == [10, 20, 20] and both.centroids.shape == (3, 64)
    assert both.halves is not None and np.array_equal(both.halves, halves[[0, 1, 1]])
    assert CENTROIDS.taken(np.array([0])).halves is None and CENTROIDS.joined(last).halves is None
