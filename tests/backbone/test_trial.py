"""The trial right after loading: what would fail after training fails there."""

from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.trial import try_out
from fedrouter_sim.errors import UserError


def test_a_usable_backbone_is_as_before(backbone: Backbone) -> None:
    before, answers = torch.random.get_rng_state(), backbone.generate(None, ["1 + 2 = ?"], 5).answers
    try_out(backbone, "micro")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert backbone.generate(None, ["1 + 2 = ?"], 5).answers == answers


def broken(*given: Any, **named: Any) -> Any:
    raise RuntimeError("no kernel\nfor this")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("train", "training a step"),
        ("score", "scoring answers with the adapter"),
        ("generate", "answering with"),
    ],
)
def test_what_fails_is_said_in_one_line(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, method: str, said: str
) -> None:
    monkeypatch.setattr(backbone, method, broken)
    with pytest.raises(UserError, match=rf"--model some: {said}.* fails \(RuntimeError: no kernel\), so nothing was"):
        try_out(backbone, "some")


def test_the_bare_backbone_is_tried_as_well(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = backbone.generate

    def generate(adapter: Adapter | None, *rest: Any) -> Any:
        return broken() if adapter is None else whole(adapter, *rest)

    monkeypatch.setattr(backbone, "generate", generate)
    with pytest.raises(UserError, match="answering with the bare backbone fails"):
        try_out(backbone, "some")


def test_a_loss_that_is_not_finite_is_refused(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone, "score", lambda adapter, encoded: np.full((2, 2), np.nan))
    with pytest.raises(UserError, match="a loss is not finite"):
        try_out(backbone, "some")
