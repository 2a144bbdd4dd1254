"""Which modules LoRA adapts, and how."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.lora import json_config, lora_config

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
    with pytest.raises(UserError, match="--lora-targets 'fc' is no linear module"):
        lora_config(micro_config(lora_targets=("fc",)), gpt2)


def test_an_unknown_model_needs_named_targets() -> None:
    with pytest.raises(UserError, match=r"--model tiny-gpt2: PEFT has no usual LoRA targets for 'unheard'; .*--lora"):
        lora_config(RunConfig(), Net("unheard"))


@pytest.mark.parametrize("targets", [("norm",), ("first", "inner"), ("absent",)])
def test_targets_that_are_no_linear_modules_are_refused_with_those_that_are(targets: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=rf"--lora-targets '{targets[-1]}' is no linear module .* it has 0, first"):
        lora_config(RunConfig(lora_targets=targets), Net("unheard"))


def test_the_json_is_sorted_and_always_the_same(micro_config: ConfigMaker, gpt2: Any) -> None:
    values = json_config(lora_config(micro_config(lora_targets=("c_proj", "c_attn", "c_fc")), gpt2), "my-model")
    assert list(values) == sorted(values)
    assert values["target_modules"] == ["c_attn", "c_fc", "c_proj"]
    assert (values["base_model_name_or_path"], values["inference_mode"], values["peft_type"]) == (
        "my-model", True, "LORA"
    )  # fmt: skip
    assert json.loads(json.dumps(values)) == values
