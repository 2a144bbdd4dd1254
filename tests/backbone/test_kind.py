"""What is found out of a model by running it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from random_models import random_model
from torch import nn
from transformers import AutoModelForCausalLM

from fedrouter_sim.backbone.kind import context_of, hidden_width, kind_of
from fedrouter_sim.errors import UserError


@pytest.mark.parametrize(
    ("kind", "stateful", "pads_left"),
    [
        ("gpt2", False, False),
        ("llama", False, False),
        ("gemma2", False, True),  # a window counts padding
        ("gpt_neo", False, True),  # so do its local layers, which its cache does not tell
        ("mpt", False, True),  # padding counts as distance
        ("mamba", True, True),
        ("lfm2", True, True),  # convolutions in some layers
    ],
)
def test_what_a_model_keeps_of_earlier_tokens(kind: str, stateful: bool, pads_left: bool) -> None:
    found = kind_of(random_model(kind), 3, kind)
    assert (found.width, found.stateful, found.alone, found.pads_left) == (32, stateful, False, pads_left)


def test_a_state_that_mixes_rows_up_is_found() -> None:
    assert kind_of(random_model("rwkv"), 3, "x").alone
    assert kind_of(random_model("rwkv"), 0, "x").alone  # whichever token it is tried with


def test_the_width_is_that_of_the_hidden_state_and_not_what_the_configuration_says() -> None:
    model = random_model("opt", word_embed_proj_dim=16)
    assert model.config.hidden_size == 32
    assert kind_of(model, 3, "x").width == hidden_width(model) == 16
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(model.config)
    assert hidden_width(empty) == 16


def test_an_encoder_is_refused() -> None:
    with pytest.raises(UserError, match="--model some/bert: is an encoder, whose tokens see later ones"):
        kind_of(random_model("bert", is_decoder=False), 3, "some/bert")


def test_a_model_that_cannot_be_run_is_refused_in_one_line() -> None:
    class Broken(nn.Module):
        base_model: Any = staticmethod(lambda **inputs: 1 // 0)
        device = torch.device("cpu")
        config = SimpleNamespace(model_type="broken")

    with pytest.raises(UserError, match=r"--model it: cannot be run .* \(ZeroDivisionError: .*\)$") as caught:
        kind_of(Broken(), 3, "it")
    assert "\n" not in str(caught.value)


def test_the_context_is_what_the_family_calls_it() -> None:
    contexts = {kind: context_of(random_model(kind).config) for kind in ("gpt2", "llama", "mpt", "rwkv")}
    assert contexts == dict.fromkeys(contexts, 256)
    assert context_of(SimpleNamespace(max_position_embeddings=-1, n_positions=None)) is None
    assert context_of(SimpleNamespace(max_position_embeddings=512, max_seq_len=128)) == 128
