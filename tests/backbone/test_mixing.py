"""Mixtures: the outputs of several adapters, mixed with weights of each sample's own."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mixed_examples import EXAMPLES, TEXTS, added_to_the_weights, losses, losses_by_hand, strong

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone import answering, batching, model
from fedrouter_sim.backbone.answering import _gathered
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import OptimizerSettings
from fedrouter_sim.config import RunConfig

ConfigMaker = Callable[..., RunConfig]
Same = Callable[[Adapter, Adapter], bool]


@pytest.fixture(scope="module")
def two(backbone: Backbone) -> tuple[Adapter, Adapter]:
    return strong(backbone, 7), strong(backbone, 8)


def mixed(adapters: Sequence[Adapter], *rows: Sequence[float]) -> Mixture:
    return Mixture(tuple(adapters), np.array(rows))


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)])
def test_all_weight_on_one_adapter_is_that_adapter(
    backbone: Backbone, two: tuple[Adapter, Adapter], weights: tuple[float, float]
) -> None:
    alone = two[int(np.argmax(weights))]
    mixture = mixed(two, *[weights] * 4)
    np.testing.assert_allclose(losses(backbone, mixture), losses(backbone, alone), rtol=1e-5)
    answers = backbone.generate(alone, TEXTS, 8).answers
    assert backbone.generate(mixture, TEXTS, 8).answers == answers != backbone.generate(None, TEXTS, 8).answers


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.8, 0.2), (0.3, 0.0), (1.0, 1.0)])
def test_a_mixture_is_the_weighted_sum_of_the_products_on_the_base_weights(
    backbone: Backbone, micro_model: Path, two: tuple[Adapter, Adapter], weights: tuple[float, float]
) -> None:
    by_hand = added_to_the_weights(micro_model, two, weights, scale=4.0 / 2)
    np.testing.assert_allclose(
        losses(backbone, mixed(two, *[weights] * 4)), losses_by_hand(by_hand, backbone), rtol=1e-4
    )


def test_three_adapters_can_be_mixed(backbone: Backbone, micro_model: Path, two: tuple[Adapter, Adapter]) -> None:
    three, weights = (*two, strong(backbone, 9)), (0.5, 0.3, 0.2)
    by_hand = added_to_the_weights(micro_model, three, weights, scale=4.0 / 2)
    np.testing.assert_allclose(
        losses(backbone, mixed(three, *[weights] * 4)), losses_by_hand(by_hand, backbone), rtol=1e-4
    )


def test_a_mixture_is_not_the_adapter_of_the_mean_factors(backbone: Backbone, two: tuple[Adapter, Adapter]) -> None:
    averaged = {key: (two[0][key] + two[1][key]) / 2 for key in two[0]}
    difference = losses(backbone, mixed(two, *[(0.5, 0.5)] * 4)) - losses(backbone, averaged)
    assert (abs(difference) > 0.01).all()


def test_samples_of_different_weights_are_answered_together_as_one_by_one(
    backbone: Backbone, two: tuple[Adapter, Adapter]
) -> None:
    rows = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.9, 0.4)]
    together = mixed(two, *rows)
    encoded = backbone.encoder.examples(EXAMPLES)
    alone = [backbone.score(mixed(two, row), [one])[0, 0] for row, one in zip(rows, encoded, strict=True)]
    np.testing.assert_allclose(losses(backbone, together), alone, rtol=1e-5)
    answers = [backbone.generate(mixed(two, row), [text], 8).answers[0] for row, text in zip(rows, TEXTS, strict=True)]
    assert backbone.generate(together, TEXTS, 8).answers == answers
    assert (abs(losses(backbone, mixed(two, *rows[::-1])) - alone) > 0.01).all()  # whose weights are whose matters


def test_samples_keep_their_weights_when_others_have_ended(
    backbone: Backbone, two: tuple[Adapter, Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.9, 0.4)]
    seen: list[int] = []
    handle = backbone._body.register_forward_hook(lambda module, args, output: seen.append(len(output[0])))
    whole = backbone.generate(mixed(two, *rows), TEXTS, 20).answers
    tried = 0
    for end in sorted({token for ids in backbone.encoder.tokenizer(whole)["input_ids"] for token in ids}):
        monkeypatch.setattr(backbone.encoder, "stops", (end,))
        seen.clear()
        answers = backbone.generate(mixed(two, *rows), TEXTS, 20).answers
        if 1 < min(seen) < len(rows):  # some have left, and not all but one
            tried += 1
            for row, text, answer in zip(rows, TEXTS, answers, strict=True):
                assert backbone.generate(mixed(two, row), [text], 20).answers == [answer]
        if tried == 2:
            break
    handle.remove()
    assert tried == 2


def test_more_samples_than_a_batch_keep_their_weights(backbone: Backbone, two: tuple[Adapter, Adapter]) -> None:
    examples = [EXAMPLES[n % 4] for n in range(70)]
    rows = [(n / 70, 1 - n / 70) for n in range(70)]
    scores = backbone.score(mixed(two, *rows), backbone.encoder.examples(examples))[:, 0]
    for n in (0, 33, 69):
        [[alone, _]] = backbone.score(mixed(two, rows[n]), backbone.encoder.examples([examples[n]]))
        assert scores[n] == pytest.approx(alone, rel=1e-5)


def test_after_a_mixture_all_is_as_before_to_the_bit(
    micro_config: ConfigMaker, two: tuple[Adapter, Adapter], same: Same
) -> None:
    backbone = Backbone(micro_config(lora_dropout=0.3))
    encoded = backbone.encoder.examples(EXAMPLES)
    settings = OptimizerSettings(lr=0.01, weight_decay=0.1, clip=1.0)

    def everything() -> tuple[Adapter, np.ndarray, np.ndarray, np.ndarray, list[str]]:
        start = backbone.initial_adapter(0)
        trained = backbone.train(start, encoded, [[0, 1, 2, 3]] * 3, settings, 5).adapter
        return (
            trained, backbone.embed(TEXTS), losses(backbone, None), losses(backbone, two[0]),
            backbone.generate(two[0], TEXTS, 6).answers,
        )  # fmt: skip

    before = everything()
    state = torch.random.get_rng_state()
    losses(backbone, mixed(two, *[(0.5, 0.5)] * 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    after = everything()
    assert same(before[0], after[0])
    assert all(np.array_equal(one, two) for one, two in zip(before[1:4], after[1:4], strict=True))
    assert before[4] == after[4]
    trainable = [name for name, p in backbone._peft.named_parameters() if p.requires_grad]
    assert trainable
    assert all(".default." in name for name in trainable)


def test_a_fault_within_a_mixture_leaves_the_one_slot_in_use(
    micro_config: ConfigMaker, two: tuple[Adapter, Adapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = Backbone(micro_config())
    expected = losses(backbone, two[1])
    with monkeypatch.context() as patch:
        patch.setattr(backbone, "_response_losses", lambda examples: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            losses(backbone, mixed(two, *[(0.5, 0.5)] * 4))
    assert np.array_equal(losses(backbone, two[1]), expected)


def test_a_mixture_without_weights_is_a_fault(backbone: Backbone, two: tuple[Adapter, Adapter]) -> None:
    encoded = backbone.encoder.examples(EXAMPLES)
    with (
        pytest.raises(RuntimeError, match="only with weights"),
        backbone._using(mixed(two, (0.5, 0.5))),
    ):
        backbone._response_losses(encoded[:1])
    assert np.isfinite(losses(backbone, two[0])).all()


@pytest.mark.parametrize("kind", ["bare", "adapter", "mixture"])
def test_rows_that_wait_for_those_of_other_batches_get_the_same_answers(
    backbone: Backbone, two: tuple[Adapter, Adapter], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    texts = [f"{text} {number}" for number in range(5) for text in TEXTS]
    rows = [(number / len(texts), 1 - number / len(texts)) for number in range(len(texts))]
    adapter = {"bare": None, "adapter": two[0], "mixture": mixed(two, *rows)}[kind]
    found: list[list[list[int]]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "answer", lambda *told: found.append(answering.answer(*told)) or found[-1])
        backbone._generate(adapter, texts, 12, None, None)
    common = Counter(token for ids in found[0] for token in {*ids[2:]}).most_common(4)
    monkeypatch.setattr(backbone.encoder, "stops", (*backbone.encoder.stops, *(token for token, _ in common)))
    alone = [backbone._generate(_of(adapter, row), [text], 12, None, None).answers[0] for row, text in enumerate(texts)]
    assert len(set(map(len, alone))) > 3
    gathered: list[int] = []

    def spy(batches: Sequence[Any]) -> Any:
        gathered.append(len(batches))
        return _gathered(batches)

    monkeypatch.setattr(batching, "ANSWERED_ROWS", 6)
    monkeypatch.setattr(batching, "FEW_ROWS", 3)
    monkeypatch.setattr(batching, "STRETCH", 1)
    monkeypatch.setattr(answering, "_gathered", spy)
    assert backbone._generate(adapter, texts, 12, None, None).answers == alone
    assert max(gathered) > 1


def _of(adapter: Any, row: int) -> Any:
    return mixed(adapter.adapters, adapter.weights[row]) if isinstance(adapter, Mixture) else adapter


def test_nothing_asked_is_nothing_answered(backbone: Backbone, two: tuple[Adapter, Adapter]) -> None:
    assert backbone.generate(two[0], [], 4).answers == []
