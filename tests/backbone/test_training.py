"""Steps of local training, on one number."""

import torch
from torch import nn

from fedrouter_sim.backbone.training import OptimizerSettings, take_steps

SETTINGS = OptimizerSettings(lr=0.1, weight_decay=0.0, clip=1.0)


def test_a_step_is_taken_per_batch_and_its_loss_is_told_without_the_penalty() -> None:
    weight = nn.Parameter(torch.tensor([3.0]))
    heard: list[float] = []
    seen: list[list[int]] = []

    def loss_of(batch: list[int]) -> torch.Tensor:
        seen.append(batch)
        return weight.square().sum()

    losses = take_steps([weight], [[0, 1], [2]], loss_of, SETTINGS, heard.append, lambda: 100 * weight.sum())
    assert seen == [[0, 1], [2]] and losses == heard and losses[0] == 9.0
    # AdamW's first steps have the size of the learning rate, whatever the gradient's.
    assert torch.allclose(weight.detach(), torch.tensor([2.8]), atol=1e-3)


def test_the_penalty_pulls() -> None:
    def trained(pull: float | None) -> float:
        weight = nn.Parameter(torch.tensor([1.0]))
        penalty = None if pull is None else lambda: -pull * weight.sum()
        take_steps([weight], [[0]], lambda batch: weight.sum(), SETTINGS, lambda loss: None, penalty)
        return float(weight)

    assert trained(None) < 1 < trained(1000.0)


def test_a_loss_that_is_not_finite_is_the_last_and_leaves_the_weights() -> None:
    weight = nn.Parameter(torch.tensor([3.0]))
    given = iter([1.0, float("inf"), 1.0])
    heard: list[float] = []
    losses = take_steps([weight], [[0]] * 3, lambda batch: weight.sum() * next(given), SETTINGS, heard.append)
    assert losses == [3.0, float("inf")] and heard == [3.0]
    assert torch.isfinite(weight).all()
