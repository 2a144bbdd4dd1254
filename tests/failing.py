"""Trainings that fail: chosen clients answer in chosen rounds that a number was not finite."""

from collections.abc import Collection
from typing import Any

import pytest

from fedrouter_sim.federation.client import Client
from fedrouter_sim.messages import LOSS, Failed


def let_fail(patch: pytest.MonkeyPatch, trainings: Collection[tuple[int, int]]) -> None:
    """Let the trainings of these (client, round) fail after a step, as a loss is not finite."""
    train = Client.train

    def failing(
        self: Client, group: Any, start: Any, anchor: Any, steps: int, lr: float, round_: int, *on_step: Any
    ) -> Any:
        if (self.id, round_) in trainings:
            return Failed(self.id, group.rank, group.pool, round_, lr, LOSS, 1, steps - 1, 9)
        return train(self, group, start, anchor, steps, lr, round_, *on_step)

    patch.setattr(Client, "train", failing)
