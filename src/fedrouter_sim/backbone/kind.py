"""What kind of model a backbone is, found by running it on a few tokens: what may be asked of it, and how."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, GenerationConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from fedrouter_sim.backbone.loading import without_notices
from fedrouter_sim.errors import UserError, first_line

# Kinds of models for which padding between a prompt and its answer changes nothing (docs/families.md): full attention,
# and positions counted without padding. Others may count padding: in a window, or as distance (MPT).
_BLIND_TO_PADDING = frozenset(
    "apertus arcee biogpt bitnet bloom codegen cohere deepseek_v2 deepseek_v3 diffllama dots1 ernie4_5 ernie4_5_moe"
    " exaone4 falcon flex_olmo gemma glm glm4 glm4_moe gpt2 gpt_bigcode gpt_neox gptj granite granitemoe helium"
    " hunyuan_v1_dense jetmoe llama mistral mixtral nanochat nemotron olmo olmo2 olmoe opt persimmon phi phi3 qwen2"
    " qwen2_moe qwen3 qwen3_moe seed_oss smollm3 stablelm starcoder2 xglm".split()
)


_CONTEXT = ("max_position_embeddings", "n_positions", "max_seq_len", "context_length")
"""What families call the number of positions."""


@dataclass(frozen=True)
class Kind:
    """What has to be known of a model.

    Attributes:
        width: d, the numbers of an embedding.
        stateful: it keeps a state in which tokens are no longer apart (Mamba, convolutions, linear attention), at least
            in some layers. Its rows are answered together only where their prompts are equally long.
        alone: its state mixes rows up (RWKV in transformers 5), so each row is answered alone.
        pads_left: prompts that are answered together are padded before their first tokens, not after their last.
    """

    width: int
    stateful: bool
    alone: bool
    pads_left: bool


@without_notices()
def kind_of(model: Any, token: int, name: str) -> Kind:
    """Say what kind of model it is.

    Args:
        model: with its head.
        token: any token of its vocabulary.
        name: what the user called the model.

    Raises:
        UserError: it cannot be run, or a token sees those after it.
    """
    another = 1 if token == 0 else 0
    try:
        with torch.inference_mode():
            output = model.base_model(input_ids=_ids(model, token, token, token), use_cache=True)
            other = model.base_model(input_ids=_ids(model, token, token, another), use_cache=False).last_hidden_state
        hidden: Tensor = output.last_hidden_state  # (1, 3, d)
    except Exception as error:  # every family runs code of its own
        said = f"{type(error).__name__}: {first_line(error)}"
        raise UserError(f"--model {name}: cannot be run as a causal language model ({said})") from error
    if not torch.allclose(hidden[0, :2], other[0, :2], rtol=1e-2, atol=1e-2 * float(hidden.abs().max())):
        raise UserError(f"--model {name}: is an encoder, whose tokens see later ones; give a causal language model")
    cache = getattr(output, "past_key_values", None)
    layers = {type(layer) for layer in cache.layers} if type(cache) is DynamicCache else set()
    # Of these types and no others, whose subclasses keep states beside keys and values.
    stateful = not layers or not layers <= {DynamicLayer, DynamicSlidingWindowLayer}
    blind = layers == {DynamicLayer} and model.config.model_type in _BLIND_TO_PADDING
    alone = stateful and _mixes_rows(model, token, another)
    return Kind(hidden.shape[-1], stateful, alone, pads_left=not blind)


def _mixes_rows(model: Any, one: int, two: int) -> bool:
    """Say whether rows of equal length get other answers together than alone."""
    settings = GenerationConfig(max_new_tokens=4, do_sample=False, use_cache=True, pad_token_id=one)
    rows = torch.tensor([(one, one, two), (two, one, two)], device=model.device)

    def answers(some: Tensor) -> Tensor:
        with torch.inference_mode():
            found: Tensor = model.generate(
                input_ids=some, attention_mask=torch.ones_like(some), generation_config=settings
            )
        return found

    return not torch.equal(answers(rows), torch.cat([answers(row[None]) for row in rows]))


def context_of(config: Any) -> int | None:
    """Return how many tokens a model has positions for, as its configuration says; None where it names no limit."""
    found = (getattr(config, name, None) for name in _CONTEXT)
    return min((value for value in found if isinstance(value, int) and value > 0), default=None)


def hidden_width(model: Any) -> int:
    """Return the width d of the last hidden state of a model; it may be one without weights, on the device 'meta'."""
    try:
        with torch.inference_mode():
            width: int = model.base_model(input_ids=_ids(model, 0), use_cache=False).last_hidden_state.shape[-1]
    except Exception:  # some families look at values, which 'meta' has none of
        width = model.config.hidden_size
    return width


def _ids(model: Any, *tokens: int) -> Tensor:
    return torch.tensor([tokens], device=model.device)
