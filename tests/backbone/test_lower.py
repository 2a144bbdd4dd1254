"""Layers below the adapters: what they make of rows is kept, and all that is computed is what plain passes compute."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from random_models import save_random
from transformers import AutoModelForCausalLM

from fedrouter_sim.adapters.folders import save_adapter
from fedrouter_sim.backbone import skipping
from fedrouter_sim.backbone.keeping import KEPT_BYTES, KeptRows
from fedrouter_sim.backbone.lower import AllLayers, LowerLayers
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.sketching import Projection
from fedrouter_sim.backbone.training import OptimizerSettings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example

ConfigMaker = Callable[..., RunConfig]
EXAMPLES = [
    Example("11 + 22 = ?", "33"),
    Example("reverse: a b c", "c b a"),
    Example("Do the people of Riga like soup on day 5?", "No"),
    Example("PRICES TODAY, RIGA MARKET: CORN AT 3 CROWNS", "corn for 3"),
]
ASKED = [example.instruction for example in EXAMPLES]
BATCHES = [[0, 1, 2, 3], [1, 2], [3]]
ADAMW = OptimizerSettings(lr=0.02, weight_decay=0.0, clip=1.0)


@pytest.fixture(scope="module")
def upper(micro_config: ConfigMaker) -> Backbone:
    """The micro backbone with adapters in the upper of its two layers, and a template whose first words rows share."""
    return Backbone(micro_config(template="alpaca", max_tokens=256, lora_layers=1, lora_dropout=0.1))


def all_of(backbone: Backbone) -> dict[str, Any]:
    """Return what is computed of the examples: training, scores, answers, sketches, a mixture's scores and answers."""
    encoded, start = backbone.encoder.examples(EXAMPLES), backbone.initial_adapter(0)
    trained = backbone.train(start, encoded, BATCHES, ADAMW, dropout_seed=1)
    mixture = Mixture((trained.adapter, start), np.array([[1, 0], [0, 1], [0.5, 0.5], [0.2, 0.8]]))
    return {
        "loss": trained.loss,
        **{key: value.numpy() for key, value in trained.adapter.items()},
        "scores": backbone.score(trained.adapter, encoded),
        "bare": backbone.score(None, encoded),
        "answers": backbone.generate(trained.adapter, ASKED, 12).answers,
        "sketches": backbone.sketch(start, encoded, Projection(3)),
        "mixed": backbone.score(mixture, encoded),
        "mixed answers": backbone.generate(mixture, ASKED, 6).answers,
    }


def plainly(backbone: Backbone) -> dict[str, Any]:
    """Return the same with all layers computed in every pass."""
    kept, backbone._lower = backbone._lower, AllLayers()
    try:
        return all_of(backbone)
    finally:
        backbone._lower = kept


def assert_near(found: dict[str, Any], expected: dict[str, Any], rtol: float = 1e-3, atol: float = 1e-4) -> None:
    for key, value in expected.items():
        if "answers" in key:
            assert found[key] == value, key
        else:
            np.testing.assert_allclose(found[key], value, rtol=rtol, atol=atol, err_msg=key)


def forgetting(backbone: Backbone, most_bytes: int = KEPT_BYTES, most_on_disk: int = 0) -> LowerLayers:
    """Return the backbone's lower layers before anything was kept, with room for so many bytes."""
    used = backbone._lower
    assert isinstance(used, LowerLayers)
    fresh = copy.copy(used)
    fresh._kept = KeptRows(most_bytes, most_on_disk)
    return fresh


def test_all_is_as_in_plain_passes_and_the_same_bits_each_time_whatever_is_kept(
    upper: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path))
    upper._lower = forgetting(upper)
    first, again = all_of(upper), all_of(upper)
    assert_near(first, plainly(upper))
    assert len(set(first["answers"])) > 1 and len(set(first["mixed answers"])) > 1
    upper._lower = tight = forgetting(upper, most_bytes=20_000)
    found = all_of(upper)
    assert tight._kept.counts[0] and not tight._kept.counts[1]
    upper._lower = spilling = forgetting(upper, 20_000, 2**30)
    on_disk = [all_of(upper) for _ in range(2)][1]
    assert spilling._kept.counts[1] > 0
    for key, value in first.items():
        np.testing.assert_array_equal(value, again[key], err_msg=key)
        np.testing.assert_array_equal(value, found[key], err_msg=f"{key} where little is kept")
        np.testing.assert_array_equal(value, on_disk[key], err_msg=f"{key} where most is kept on disk")


def test_a_row_goes_through_the_lower_layers_once(upper: Backbone) -> None:
    upper._lower = forgetting(upper)
    block = upper._body.h[0]
    through: list[int] = []
    handle = block.mlp.register_forward_hook(lambda module, inputs, output: through.append(len(inputs[0])))
    try:
        encoded, start = upper.encoder.examples(EXAMPLES), upper.initial_adapter(0)
        upper.train(start, encoded, BATCHES * 3, ADAMW, dropout_seed=1)
        assert through[-len(EXAMPLES) :] == [1] * len(EXAMPLES) and len(through) <= len(EXAMPLES) + 1
        through.clear()
        upper.score(start, encoded)
        upper.sketch(start, encoded, Projection(3))
        assert not through
        upper.generate(start, ASKED, 1)
        before = len(through)
        upper.generate(start, ASKED, 1)
        assert len(through) - before == 1 < before  # the prompts' last tokens alone
    finally:
        handle.remove()
    assert "forward" not in vars(block)


def test_adapters_are_in_the_upper_layers_and_load_in_stock_peft(
    upper: Backbone, micro_model: Path, tmp_path: Path
) -> None:
    encoded, start = upper.encoder.examples(EXAMPLES), upper.initial_adapter(0)
    assert start and all(".h.1." in key for key in start)
    trained = upper.train(start, encoded, BATCHES, ADAMW, dropout_seed=1).adapter
    assert upper.peft_config["layers_to_transform"] == [1] and upper.peft_config["layers_pattern"] == "h"
    save_adapter(tmp_path, trained, upper.peft_config)
    stock = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32), tmp_path)
    scores = upper.score(trained, encoded)[:, 0]
    for example, found in zip(encoded, scores, strict=True):
        ids = torch.tensor([[*example.prompt.ids, *example.response]])
        with torch.inference_mode():
            logits = stock(input_ids=ids).logits[0, len(example.prompt.ids) - 1 : -1]
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(example.response), reduction="sum")
        assert found == pytest.approx(float(expected), rel=1e-4)


def test_a_bfloat16_base_keeps_bfloat16(micro_config: ConfigMaker) -> None:
    low = Backbone(micro_config(template="alpaca", max_tokens=256, lora_layers=1, dtype="bfloat16"))
    encoded = low.encoder.examples(EXAMPLES)
    found = low.score(None, encoded)
    assert isinstance(low._lower, LowerLayers)
    assert {made.hidden.dtype for made in low._lower._kept._in_memory.values()} == {torch.bfloat16}
    low._lower = AllLayers()
    np.testing.assert_allclose(found, low.score(None, encoded), rtol=0.02)


def test_without_the_setting_and_with_all_layers_nothing_is_skipped(
    backbone: Backbone, micro_config: ConfigMaker
) -> None:
    assert not backbone._lower.keeps and backbone.peft_config["layers_to_transform"] is None
    assert not Backbone(micro_config(lora_layers=2))._lower.keeps and not backbone.serves(micro_config(lora_layers=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_layers": 3}, "--lora-layers 3: --model .* has 2 layers; give at most that, or 0 for all"),
        (
            {"lora_layers": 1, "lora_targets": ("transformer.h.1.attn.c_attn",)},
            "--lora-layers 1: does not go with --lora-targets 'transformer.h.1.attn.c_attn'",
        ),
    ],
)
def test_what_is_refused(changes: dict[str, Any], message: str, micro_config: ConfigMaker) -> None:
    with pytest.raises(UserError, match=message):
        Backbone(micro_config(**changes))


def test_upper_layers_without_the_targets_are_refused(
    micro_model: Path, micro_config: ConfigMaker, tmp_path: Path
) -> None:
    folder = save_random("lfm2", tmp_path / "m", micro_model)  # its lower layer is a convolution, its upper attention
    with pytest.raises(UserError, match="--lora-layers 1: those layers have no modules in_proj; adapt more layers"):
        Backbone(micro_config(model=str(folder), lora_layers=1, lora_targets=("in_proj",)))


@pytest.mark.parametrize(
    ("kind", "targets"), [("gemma3_text", ()), ("lfm2", ("q_proj",)), ("opt", ()), ("rwkv", ("key",))]
)
def test_families_whose_layers_can_be_skipped(
    kind: str, targets: tuple[str, ...], micro_model: Path, micro_config: ConfigMaker, tmp_path: Path
) -> None:
    """With windows, with states of their own, with another layout, and with numbers that are halved between layers."""
    folder = save_random(kind, tmp_path / "m", micro_model)
    own = Backbone(micro_config(model=str(folder), lora_layers=1, lora_targets=targets))
    assert own._lower.keeps
    encoded, start = own.encoder.examples(EXAMPLES), own.initial_adapter(0)

    def compute() -> dict[str, Any]:
        trained = own.train(start, encoded, BATCHES[:2], ADAMW, dropout_seed=1)
        answers = own.generate(trained.adapter, ASKED[:2], 3).answers
        return {"loss": trained.loss, "scores": own.score(trained.adapter, encoded), "answers": answers}

    found = compute()
    own._lower = AllLayers()
    assert_near(found, compute())


def test_a_model_whose_layers_look_into_each_other_is_computed_plainly(
    micro_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(skipping, "_passing", lambda place, besides: lambda *args, **kwargs: args[0] * 2)
    found = Backbone(micro_config(lora_layers=1))
    assert not found._lower.keeps
    assert "note: --lora-layers: the lower 1 layers of this model cannot be skipped" in capsys.readouterr().err
