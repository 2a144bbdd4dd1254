"""Messages: their size is that of what would be sent, and none of them holds a text."""

import dataclasses

import numpy as np
import pytest
import torch

from fedrouter_sim.messages import CentroidMessage, Group, Update

CENTROIDS = CentroidMessage(
    client=3,
    centroids=np.zeros((2, 64), dtype=np.float32),
    sizes=np.array([10, 20], dtype=np.int64),
    answer_tokens=np.array([5, 9], dtype=np.int64),
)
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


def test_a_centroid_message_is_as_large_as_its_arrays() -> None:
    assert CENTROIDS.nbytes == 4 * 2 * 64 + 8 * 2 + 8 * 2


def test_an_update_is_as_large_as_its_adapter() -> None:
    assert UPDATE.nbytes == 4 * 8 * (64 + 192)


@pytest.mark.parametrize("message", [CENTROIDS, UPDATE, Group(0, 0, (1, 2), "all")])
def test_messages_cannot_be_changed_after_sending(message: CentroidMessage | Update | Group) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        message.client = 1  # type: ignore[misc]


def test_no_message_to_the_server_holds_a_text_beside_the_pools_name() -> None:
    for message in (CENTROIDS, UPDATE):
        texts = {f.name for f in dataclasses.fields(message) if isinstance(getattr(message, f.name), str)}
        assert texts <= {"pool"}
