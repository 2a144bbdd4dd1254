"""Rows packed end to end: losses, gradients, scores and training are those of padded rows, where a family allows it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from random_models import save_random
from torch import Tensor

from fedrouter_sim.backbone import packing
from fedrouter_sim.backbone.asking import Asking
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import OptimizerSettings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example

ConfigMaker = Callable[..., RunConfig]
EXAMPLES = [
    Example("11 + 22 = ?", "33"),
    Example("reverse: a b c", "c b a"),
    Example("Do the people of Riga like soup on day 5?", "No"),
    Example("PRICES TODAY, RIGA MARKET: CORN AT 3 CROWNS", "corn for 3"),
]
ADAMW = OptimizerSettings(lr=0.02, weight_decay=0.0, clip=1.0)


@pytest.fixture(scope="module")
def llama(micro_config: ConfigMaker, micro_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A small random Llama: rotated positions, fewer keys than queries."""
    folder = save_random("llama", tmp_path_factory.mktemp("llama") / "m", micro_model)
    return Backbone(micro_config(model=str(folder), template="alpaca", max_tokens=256, lora_dropout=0.0))


@pytest.fixture(scope="module")
def upper(micro_config: ConfigMaker, llama: Backbone) -> Backbone:
    """The same with adapters in the upper of its two layers."""
    model = llama._config.model
    return Backbone(micro_config(model=model, template="alpaca", max_tokens=256, lora_dropout=0.0, lora_layers=1))


def slopes(backbone: Backbone, template: bool) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Return losses, rows and gradients of the examples, with what they begin with shared or not."""
    encoded = backbone.encoder.examples(EXAMPLES)
    backbone._load({key: value + 0.05 for key, value in backbone.initial_adapter(0).items()})
    backbone._shares_prefixes = template
    losses, rows = backbone._response_losses(encoded)
    backbone._shares_prefixes = True
    gradients = torch.autograd.grad(losses.mean(), list(backbone._slot.values()))
    return losses.detach(), rows, list(gradients)


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("saved", [512, 2])
def test_losses_and_gradients_are_those_of_padded_rows(
    llama: Backbone, template: bool, saved: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what tokens see is computed again on the way back."""
    assert llama._packs
    monkeypatch.setattr(packing, "_SAVED", saved)
    losses, rows, gradients = slopes(llama, template)
    monkeypatch.setattr(llama, "_packs", False)
    plain_losses, plain_rows, plain_gradients = slopes(llama, template)
    assert torch.equal(rows, plain_rows)
    torch.testing.assert_close(losses, plain_losses, rtol=1e-4, atol=1e-4)
    for found, plain in zip(gradients, plain_gradients, strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-3, atol=1e-3 * float(plain.abs().max()))


def test_training_and_scores_are_those_of_padded_rows(llama: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded, start = llama.encoder.examples(EXAMPLES), llama.initial_adapter(0)

    def compute() -> tuple[float, np.ndarray]:
        trained = llama.train(start, encoded, [[0, 1, 2, 3], [2], [1, 3]], ADAMW, dropout_seed=1)
        return trained.loss, llama.score(trained.adapter, encoded)

    loss, scores = compute()
    monkeypatch.setattr(llama, "_packs", False)
    plain_loss, plain_scores = compute()
    assert loss == pytest.approx(plain_loss, rel=1e-4)
    np.testing.assert_allclose(scores, plain_scores, rtol=1e-3)


def test_lower_layers_that_are_kept_go_into_packed_rows(
    micro_config: ConfigMaker, llama: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = micro_config(model=llama._config.model, template="alpaca", max_tokens=256, lora_dropout=0.0, lora_layers=1)
    upper = Backbone(config)
    encoded, start = upper.encoder.examples(EXAMPLES), upper.initial_adapter(0)
    assert upper._packs
    assert upper._lower.keeps
    found = upper.score(start, encoded)
    monkeypatch.setattr(upper, "_packs", False)
    np.testing.assert_allclose(found, upper.score(start, encoded), rtol=1e-4)


def test_a_mixture_whose_rows_have_weights_of_their_own_is_not_packed(
    llama: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = llama.initial_adapter(0)
    mixture = Mixture((start, start), np.array([[1, 0], [0, 1], [0.5, 0.5], [0.2, 0.8]]))
    with monkeypatch.context() as patch:
        patch.setattr("fedrouter_sim.backbone.model.packed_losses", lambda *given: 1 / 0)
        scores = llama.score(mixture, llama.encoder.examples(EXAMPLES))
    np.testing.assert_allclose(scores, llama.score(start, llama.encoder.examples(EXAMPLES)), rtol=1e-4)
    assert llama._packs


@pytest.mark.parametrize(("kind", "packed"), [("gpt2", False), ("gemma2", False), ("qwen3_moe", True)])
def test_which_families_are_packed(
    kind: str, packed: bool, micro_config: ConfigMaker, micro_model: Path, tmp_path: Path
) -> None:
    """Not those with a table of positions, nor with windows."""
    folder = save_random(kind, tmp_path / kind, micro_model)
    assert Backbone(micro_config(model=str(folder)))._packs == packed


def test_a_model_that_gives_something_else_is_not_packed(llama: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    slot = list(llama._slot.values())
    assert packing.packs(llama._peft, slot, llama._kind, llama.encoder.eos)
    monkeypatch.setattr(packing.Packed, "before", lambda self, place: 0)  # the shared tokens are not looked at
    assert not packing.packs(llama._peft, slot, llama._kind, llama.encoder.eos)
    assert llama._model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("which", ["llama", "upper"])
def test_prompts_are_run_once_to_be_answered_and_scored(
    which: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone: Backbone = request.getfixturevalue(which)
    adapter = {key: value + 0.05 for key, value in backbone.initial_adapter(0).items()}
    asking = Asking(adapter, tuple(EXAMPLES), most=6, scored=True)
    encoded, answers = backbone.encoder.examples(EXAMPLES), backbone.generate(adapter, EXAMPLES, 6)
    expected = backbone.score(adapter, encoded)
    with monkeypatch.context() as patch:
        patch.setattr(backbone, "score", lambda *given: 1 / 0)
        found = asking.answered_by(backbone)
    assert found.generated == answers
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, expected, rtol=1e-3)


def test_what_lower_layers_make_of_responses_is_kept_and_the_same_whatever_is(upper: Backbone) -> None:
    adapter = {key: value + 0.05 for key, value in upper.initial_adapter(0).items()}
    asking = Asking(adapter, tuple(EXAMPLES), most=6, scored=True)
    upper._lower.forget()
    first, again = asking.answered_by(upper), asking.answered_by(upper)
    through: list[int] = []
    lowest = upper._peft.get_submodule("base_model.model.model.layers.0.mlp")
    handle = lowest.register_forward_hook(lambda module, inputs, output: through.append(inputs[0].shape[1]))
    try:
        third = asking.answered_by(upper)
        of_one, through_one = replace(asking, examples=asking.examples[1:2]).answered_by(upper), len(through)
        upper._lower.forget()
        upper.score(adapter, upper.encoder.examples(EXAMPLES))  # after which other things are kept
        last = asking.answered_by(upper)
    finally:
        handle.remove()
    assert through_one and set(through[:through_one]) == {1}  # answers' own tokens alone
    for found in (again, third, last):
        assert found.generated == first.generated
        np.testing.assert_array_equal(found.scores, first.scores)
    assert of_one.scores is not None and first.scores is not None
    np.testing.assert_allclose(of_one.scores, first.scores[1:2], rtol=1e-4)


def test_a_prompt_that_is_cut_otherwise_to_be_answered_is_scored_by_itself(
    llama: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer may be longer than the response, so more of its prompt gives way."""
    long = Example(" ".join(["Riga"] * 300), "No")
    encoded = llama.encoder.examples([long, *EXAMPLES])
    found = Asking(llama.initial_adapter(0), (long, *EXAMPLES), most=30, scored=True).answered_by(llama)
    assert found.cut == {long.instruction}
    assert found.scores is not None
    np.testing.assert_allclose(found.scores, llama.score(llama.initial_adapter(0), encoded), rtol=1e-3)
