"""Small random models of many families."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fedrouter_sim.backbone.loading import quiet

WINDOW = 8  # tokens that a layer with a sliding or local window sees: fewer than prompts have, or than they share

_SIZES: dict[str, Any] = {
    "vocab_size": 400, "max_position_embeddings": 256, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "initializer_range": 0.2,
}  # fmt: skip
_LLAMA_LIKE: dict[str, Any] = {"intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
_MIXED: dict[str, Any] = {
    "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16
}  # fmt: skip
_OF_FAMILY: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "bert": {"intermediate_size": 48},
    "bloom": {"n_layer": 2, "n_head": 4},
    "falcon": {"multi_query": True},
    "gpt_neo": {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
    "lfm2": {**_LLAMA_LIKE, "layer_types": ["conv", "full_attention"]},
    "mamba": {"state_size": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256, "expansion_ratio": 2},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "rwkv": {"attention_hidden_size": 32, "context_length": 256},
    "gemma2": {**_LLAMA_LIKE, "sliding_window": WINDOW},
    "gemma3_text": {**_LLAMA_LIKE, "sliding_window": WINDOW},
    "gemma4_text": {
        **_LLAMA_LIKE, "sliding_window": WINDOW, "hidden_size_per_layer_input": 0, "global_head_dim": 8
    },
    "qwen2_moe": {**_LLAMA_LIKE, **_MIXED},
    "qwen3_moe": {**_LLAMA_LIKE, **_MIXED},
}  # fmt: skip


def random_model(kind: str, **changes: Any) -> Any:
    """Return a random model of two layers, d = 32, always the same of a kind."""
    sizes = _SIZES | _OF_FAMILY.get(kind, _LLAMA_LIKE) | changes
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).eval()


def save_random(kind: str, folder: Path, tokenizer: Path, **changes: Any) -> Path:
    """Save a random model with another model's tokenizer, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in tokenizer.glob("tokenizer*"):
        shutil.copy(path, folder)
    vocabulary = len(json.loads((tokenizer / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    with quiet():
        random_model(kind, vocab_size=vocabulary, **changes).save_pretrained(folder)
    return folder
