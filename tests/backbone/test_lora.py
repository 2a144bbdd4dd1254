"""Which modules LoRA adapts, and how; and that backbones of the well-known families do all that is asked of one."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from random_models import random_model, save_random
from torch import nn
from transformers import AutoModelForCausalLM

from fedrouter_sim.adapters.folders import save_adapter
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.lora import json_config, lora_config, usual_targets, with_lora
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import OptimizerSettings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example

ConfigMaker = Callable[..., RunConfig]


class Net(nn.Module):
    """A model of a kind that PEFT does not know, or of one that it does."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.config = SimpleNamespace(model_type=kind)
        self.first, self.norm, self.inner = nn.Linear(3, 4), nn.LayerNorm(4), nn.Sequential(nn.Linear(4, 4))


@pytest.fixture(scope="module")
def gpt2(micro_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(micro_model, dtype=torch.float32)


def test_settings_become_pefts(micro_config: ConfigMaker, gpt2: Any) -> None:
    found = lora_config(micro_config(lora_rank=3, lora_alpha=7.5, lora_dropout=0.25), gpt2)
    assert (found.r, found.lora_alpha, found.lora_dropout) == (3, 7.5, 0.25)
    assert found.task_type == "CAUSAL_LM"
    assert set(found.target_modules) == {"c_attn"}  # PEFT's choice for GPT-2
    assert found.fan_in_fan_out is True  # GPT-2's Conv1D keeps its weights transposed


def test_linear_modules_are_not_transposed() -> None:
    found = lora_config(RunConfig(lora_targets=("first",)), Net("unheard"))
    assert (found.fan_in_fan_out, set(found.target_modules)) == (False, {"first"})


def test_targets_are_found_by_the_end_of_their_names(micro_config: ConfigMaker, gpt2: Any) -> None:
    found = lora_config(micro_config(lora_targets=("mlp.c_fc", "attn.c_proj")), gpt2)
    assert set(found.target_modules) == {"mlp.c_fc", "attn.c_proj"}
    with pytest.raises(UserError, match="--lora-targets 'fc': LoRA cannot adapt"):
        lora_config(micro_config(lora_targets=("fc",)), gpt2)


@pytest.mark.parametrize("targets", [("nope",), ("ln_1",), ("c_attn", "wte")])
def test_bad_lora_targets_are_refused_in_one_line(micro_config: ConfigMaker, targets: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=rf"--lora-targets '{targets[-1]}': .*c_attn, c_fc, c_proj") as caught:
        Backbone(micro_config(lora_targets=targets))
    assert "\n" not in str(caught.value)


def test_lora_targets_are_adapted(micro_config: ConfigMaker) -> None:
    backbone = Backbone(micro_config(lora_targets=("c_fc", "c_attn")))
    assert {key.split(".")[-3] for key in backbone.initial_adapter(0)} == {"c_fc", "c_attn"}
    assert backbone.peft_config["target_modules"] == ["c_attn", "c_fc"]


def test_all_linear_modules_before_the_head_are_one_word() -> None:
    named = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
    llama = random_model("llama")
    for layers in (0, 1):
        words, names = (RunConfig(lora_targets=own, lora_layers=layers) for own in (("all-linear",), named))
        assert lora_config(words, llama).to_dict() == lora_config(names, llama).to_dict()
    with pytest.raises(UserError, match="--lora-targets 'all-linear': LoRA cannot adapt such a module"):
        lora_config(RunConfig(lora_targets=("all-linear", "q_proj")), llama)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("mamba", {"in_proj", "x_proj"}),  # the weights of the others are taken without calling them
        ("falcon", {"dense", "dense_4h_to_h", "dense_h_to_4h", "query_key_value"}),  # linear modules of its own
        ("phimoe", {"k_proj", "o_proj", "q_proj", "v_proj"}),  # its router gives back two tensors
        ("ctrl", {"Wq", "Wk", "Wv", "dense", "ffn.0", "2"}),  # which has a layer that is called 0 as well
    ],
)
def test_all_linear_modules_are_those_that_can_be_adapted(kind: str, names: set[str], tmp_path: Path) -> None:
    assert set(lora_config(RunConfig(lora_targets=("all-linear",)), random_model(kind)).target_modules) == names


def test_an_unknown_model_needs_named_targets() -> None:
    with pytest.raises(UserError, match=r"--model tiny-gpt2: PEFT has no usual LoRA targets for 'unheard'; .*--lora"):
        lora_config(RunConfig(), Net("unheard"))


@pytest.mark.parametrize("targets", [("norm",), ("first", "inner"), ("absent",)])
def test_targets_that_are_no_linear_modules_are_refused_with_those_that_are(targets: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=rf"--lora-targets '{targets[-1]}': LoRA cannot adapt .* choose among 0, first"):
        lora_config(RunConfig(lora_targets=targets), Net("unheard"))


def test_the_json_is_sorted_and_always_the_same(micro_config: ConfigMaker, gpt2: Any) -> None:
    values = json_config(lora_config(micro_config(lora_targets=("c_proj", "c_attn", "c_fc")), gpt2), "my-model")
    assert list(values) == sorted(values)
    assert values["target_modules"] == ["c_attn", "c_fc", "c_proj"]
    assert (values["base_model_name_or_path"], values["inference_mode"], values["peft_type"]) == (
        "my-model", True, "LORA"
    )  # fmt: skip
    assert json.loads(json.dumps(values)) == values


def test_the_head_is_no_target_and_is_not_offered() -> None:
    with pytest.raises(UserError, match="--lora-targets 'lm_head': LoRA cannot") as caught:
        lora_config(RunConfig(lora_targets=("q_proj", "lm_head")), random_model("llama"))
    assert str(caught.value).endswith(
        "choose among down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj, or give 'all-linear' alone"
    )


def test_projections_that_kernels_take_the_weights_of_are_no_targets() -> None:
    with pytest.raises(UserError, match=r"'out_proj': LoRA cannot .* choose among in_proj, x_proj, or"):
        lora_config(RunConfig(lora_targets=("in_proj", "out_proj")), random_model("mamba"))


def test_what_peft_refuses_deep_inside_is_one_line() -> None:
    model = random_model("qwen3_moe")
    config = RunConfig(lora_targets=("q_proj",), lora_dropout=0.1)
    lora = lora_config(config, model)
    lora.target_modules = {"ln_nowhere"}
    with pytest.raises(UserError, match=r"--model m: PEFT cannot adapt ln_nowhere \(.*; name other modules") as caught:
        with_lora(model, lora, "m")
    assert "\n" not in str(caught.value)


def test_a_kind_with_a_pattern_in_place_of_names_needs_named_targets() -> None:
    assert usual_targets("gemma4") == [] and usual_targets("unheard") == []


FAMILIES = {
    "gpt2": {"c_attn"},
    "llama": {"q_proj", "v_proj"},
    "qwen2": {"q_proj", "v_proj"},
    "qwen2_moe": {"q_proj", "v_proj"},
    "qwen3": {"q_proj", "v_proj"},
    "qwen3_moe": {"q_proj", "v_proj"},
    "gemma": {"q_proj", "v_proj"},
    "gemma2": {"q_proj", "v_proj"},
    "gemma3_text": {"q_proj", "v_proj"},
    "gemma4_text": {"q_proj", "v_proj"},
}
EXAMPLES = [Example(f"PRICES TODAY, {town} MARKET: BREAD", answer, None) for town, answer in
            (("OSLO", "bread for 3"), ("NARVA AND TARTU", "no"), ("RIGA", "soup"))]  # fmt: skip


@dataclass(frozen=True)
class Family:
    """A random model of a family as our backbone, one training step on, and the same by transformers and PEFT alone."""

    kind: str
    backbone: Backbone
    examples: list[EncodedExample]
    loss: float  # of the step
    adapter: dict[str, torch.Tensor]
    bare: Any
    adapted: Any

    def logits(self, model: Any, example: EncodedExample) -> torch.Tensor:
        """Return a stock model's logits (responses, vocabulary) for one example by itself."""
        ids = torch.tensor([[*example.prompt.ids, *example.response]])
        with torch.inference_mode():
            return model(input_ids=ids).logits[0, len(example.prompt.ids) - 1 : -1]  # type: ignore[no-any-return]

    def losses(self, model: Any) -> list[float]:
        """Return the summed response losses of the examples."""
        return [
            float(nn.functional.cross_entropy(self.logits(model, e), torch.tensor(e.response), reduction="sum"))
            for e in self.examples
        ]


@pytest.fixture(scope="module", params=FAMILIES)
def family(
    request: pytest.FixtureRequest,
    micro_model: Path,
    micro_config: ConfigMaker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Family:
    kind, folder = request.param, tmp_path_factory.mktemp(request.param)
    save_random(kind, folder, micro_model)
    backbone = Backbone(micro_config(model=str(folder), lora_dropout=0.0))
    examples = backbone.encoder.examples(EXAMPLES)
    start = backbone.initial_adapter(1)
    trained = backbone.train(start, examples, [[0, 1, 2]], OptimizerSettings(0.05, 0.0, 1.0), dropout_seed=0)
    save_adapter(folder / "adapter", trained.adapter, backbone.peft_config)
    bare = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, folder / "adapter").eval()
    return Family(kind, backbone, examples, trained.loss, trained.adapter, bare, adapted)


def test_well_known_families_have_their_usual_targets(family: Family) -> None:
    assert set(family.backbone.peft_config["target_modules"]) == FAMILIES[family.kind]


def test_a_step_trains_the_adapter_on_the_loss_of_the_stock_model(family: Family) -> None:
    assert all(value.abs().max() > 0 for value in family.adapter.values())
    tokens = sum(len(example.response) for example in family.examples)
    assert family.loss == pytest.approx(sum(family.losses(family.bare)) / tokens, rel=1e-4)


def test_scores_are_those_of_the_stock_model_with_the_saved_adapter(family: Family) -> None:
    found = family.backbone.score(family.adapter, family.examples)[:, 0]
    np.testing.assert_allclose(found, family.losses(family.adapted), rtol=1e-4)
    assert abs(found - family.losses(family.bare)).min() > 1e-3


def test_embeddings_are_means_of_the_last_hidden_state(family: Family) -> None:
    texts = [example.instruction for example in EXAMPLES]
    found = family.backbone.embed(texts)
    for row, text in zip(found, texts, strict=True):
        ids = torch.tensor([family.backbone.encoder.tokenizer(text)["input_ids"]])
        with torch.inference_mode():
            hidden = family.bare.base_model(input_ids=ids).last_hidden_state[0]
        np.testing.assert_allclose(row, hidden.mean(0).numpy(), rtol=1e-3, atol=1e-4)


def test_answers_are_those_of_the_stock_model_one_by_one(family: Family) -> None:
    tokenizer = family.backbone.encoder.tokenizer
    found = family.backbone.generate(family.adapter, [example.instruction for example in EXAMPLES], 6).answers
    for answer, example in zip(found, family.examples, strict=True):
        ids = torch.tensor([example.prompt.ids])
        output = family.adapted.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )
        assert answer == tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True).strip()
