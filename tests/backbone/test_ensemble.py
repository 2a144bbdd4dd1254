"""Adapters that answer apart and are averaged in probability, against a loop over two models of transformers alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mixed_examples import EXAMPLES, TEXTS, added_to_the_weights, losses, losses_by_hand, strong

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.adapters.together import ByAnswer
from fedrouter_sim.backbone import batching
from fedrouter_sim.backbone.asking import Asking
from fedrouter_sim.backbone.ensemble import joint_losses
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone

SCALE = 4.0 / 2
MOST = 12
WEIGHTS = [(0.5, 0.5), (0.8, 0.2), (0.1, 0.9), (0.35, 0.65)]


@pytest.fixture(scope="module")
def two(backbone: Backbone) -> tuple[Adapter, Adapter]:
    return strong(backbone, 7), strong(backbone, 8)


@pytest.fixture(scope="module")
def models(micro_model: Path, two: tuple[Adapter, Adapter]) -> list[Any]:
    """Each adapter in a model of its own."""
    return [added_to_the_weights(micro_model, [adapter], [1.0], SCALE) for adapter in two]


def averaged(adapters: Sequence[Adapter], rows: Sequence[Sequence[float]]) -> Mixture:
    return Mixture(tuple(adapters), np.array(rows), ByAnswer())


def answered_by_hand(models: Sequence[Any], backbone: Backbone, text: str, weights: Sequence[float]) -> str:
    """Greedy over sum_k w_k p_k(answer so far and next token), one forward pass of each model for every token."""
    ids = list(backbone.encoder.prompts([text], [backbone.encoder.limit])[0].ids)
    beliefs, answer = np.log(np.array(weights)), list[int]()
    for _ in range(MOST):
        with torch.no_grad():
            logs = torch.stack(
                [torch.log_softmax(model(torch.tensor([[*ids, *answer]])).logits[0, -1], dim=-1) for model in models]
            )
        token = int((logs.double() + torch.tensor(beliefs)[:, None]).logsumexp(dim=0).argmax())
        if token in backbone.encoder.stops:
            break
        beliefs = beliefs + logs[:, token].double().numpy()
        answer.append(token)
    return backbone.encoder.decode([answer])[0]


def test_answers_and_losses_are_those_of_a_loop_over_both_models(
    backbone: Backbone, two: tuple[Adapter, Adapter], models: list[Any]
) -> None:
    replies = Asking(averaged(two, WEIGHTS), tuple(EXAMPLES), MOST, scored=True).answered_by(backbone)
    by_hand = [answered_by_hand(models, backbone, text, row) for text, row in zip(TEXTS, WEIGHTS, strict=True)]
    assert replies.generated.answers == by_hand
    for adapter in two:
        assert backbone.generate(adapter, TEXTS, MOST).answers != by_hand  # neither of them decides everything
    apart = np.stack([losses_by_hand(model, backbone) for model in models], axis=1)
    expected = -np.log((np.array(WEIGHTS) * np.exp(-apart)).sum(axis=1))
    assert replies.scores is not None
    np.testing.assert_allclose(replies.scores[:, 0], expected, rtol=1e-4)
    assert replies.scores[:, 1].tolist() == [len(one.response) for one in backbone.encoder.examples(EXAMPLES)]


def test_what_is_answered_beside_it_changes_no_answer(
    backbone: Backbone, two: tuple[Adapter, Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Asking(averaged(two, WEIGHTS), tuple(EXAMPLES), MOST).answered_by(backbone).generated.answers
    alone = [
        Asking(averaged(two, [row]), (example,), MOST).answered_by(backbone).generated.answers[0]
        for row, example in zip(WEIGHTS, EXAMPLES, strict=True)
    ]
    assert together == alone
    for rows in (1, 3):  # fewer than the adapters, and no multiple of them
        monkeypatch.setattr(batching, "ANSWERED_ROWS", rows)
        monkeypatch.setattr(batching, "FEW_ROWS", 1)
        assert Asking(averaged(two, WEIGHTS), tuple(EXAMPLES), MOST).answered_by(backbone).generated.answers == alone


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_all_weight_on_one_adapter_is_that_adapter(
    backbone: Backbone, two: tuple[Adapter, Adapter], weights: tuple[float, float]
) -> None:
    alone = two[int(np.argmax(weights))]
    replies = Asking(averaged(two, [weights] * 4), tuple(EXAMPLES), MOST, scored=True).answered_by(backbone)
    assert replies.generated.answers == backbone.generate(alone, TEXTS, MOST).answers
    assert replies.scores is not None
    np.testing.assert_allclose(replies.scores[:, 0], losses(backbone, alone), rtol=1e-5)


def test_three_adapters_of_which_two_are_the_same_are_two(backbone: Backbone, two: tuple[Adapter, Adapter]) -> None:
    three = Asking(averaged((*two, two[1]), [(0.4, 0.3, 0.3)] * 4), tuple(EXAMPLES), MOST, scored=True)
    both = Asking(averaged(two, [(0.4, 0.6)] * 4), tuple(EXAMPLES), MOST, scored=True)
    found, expected = three.answered_by(backbone), both.answered_by(backbone)
    assert found.generated.answers == expected.generated.answers
    assert found.scores is not None and expected.scores is not None
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5)


def test_a_wrong_adapter_costs_no_more_than_the_right_ones_weight(two: tuple[Adapter, Adapter]) -> None:
    mixture = averaged(two, [(0.9, 0.1), (0.5, 0.5)])
    joint = joint_losses(mixture, np.array([300.0, 4.0, 2.0, 2.0]))
    np.testing.assert_allclose(joint, [4.0 - np.log(0.1), 2.0])


def test_of_weights_that_do_not_sum_to_one_only_their_ratio_counts(two: tuple[Adapter, Adapter]) -> None:
    rows = np.array([3.0, 1.0])
    np.testing.assert_allclose(
        joint_losses(averaged(two, [(3, 1)]), rows), joint_losses(averaged(two, [(0.75, 0.25)]), rows)
    )


def test_outputs_are_never_summed_in_its_place(backbone: Backbone, two: tuple[Adapter, Adapter]) -> None:
    with pytest.raises(ValueError, match="have a row each"):
        backbone.generate(averaged(two, WEIGHTS), TEXTS, MOST)
