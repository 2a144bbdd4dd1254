"""The families that are tried: the configuration of a tiny model of each."""

from dataclasses import dataclass, field
from typing import Any

WINDOW = 16  # tokens that a sliding window holds: far fewer than most texts have

COMMON: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
}
"""What most families call their sizes; a family's own settings come after it."""


@dataclass(frozen=True)
class Family:
    """A family of models.

    Attributes:
        settings: of the configuration, beside `COMMON`.
        attention: how tokens see those before them.
        targets: modules that LoRA adapts; none: PEFT's usual ones.
        model_type: as transformers calls the family; empty: as the table does.
        known: why it is known not to agree; empty: it has to.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    attention: str = "full"
    targets: tuple[str, ...] = ()
    model_type: str = ""
    known: str = ""


QV = ("q_proj", "v_proj")
_HEAD = {"head_dim": 16}
_WINDOW = {"sliding_window": WINDOW}
_UNTIED = {"tie_word_embeddings": False}  # for models that, tied and random, only repeat a prompt's last token
_GPT = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_LOCAL_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_ROUTED = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_group": 1, "topk_group": 1}
_MLA = {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16, "num_key_value_heads": 4}
_MAMBA = {"mamba_d_state": 8, "mamba_chunk_size": 16}
_DELTA = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "num_hidden_layers": 4,
}

FAMILIES: dict[str, Family] = {
    "apertus": Family(targets=QV),
    "arcee": Family(targets=QV),
    "bamba": Family(
        {"attn_layer_indices": [1], "mamba_n_heads": 8, "mamba_d_head": 16} | _MAMBA,
        "state and full",
        QV,
    ),
    "biogpt": Family(_UNTIED, targets=QV),
    "bitnet": Family(targets=QV),
    "bloom": Family({"n_layer": 2, "n_head": 4} | _UNTIED, "ALiBi"),
    "codegen": Family(_GPT | {"n_ctx": 256, "rotary_dim": 8}),
    "cohere": Family(targets=QV),
    "cohere2": Family(_WINDOW | _HEAD | {"num_hidden_layers": 4}, "sliding and full", QV),
    "cwm": Family(_WINDOW | _HEAD, "sliding and full", QV),
    "deepseek_v2": Family(
        _ROUTED | _MLA | {"q_lora_rank": 16, "first_k_dense_replace": 1, "head_dim": 8},
        targets=("q_b_proj", "kv_b_proj"),
    ),
    "deepseek_v3": Family(
        _ROUTED | _MLA | {"q_lora_rank": 16, "first_k_dense_replace": 1}, targets=("q_b_proj", "kv_b_proj")
    ),
    "diffllama": Family(_HEAD, targets=QV),
    "doge": Family(targets=QV),
    "dots1": Family(_ROUTED | {"first_k_dense_replace": 1, "n_shared_experts": 1} | _HEAD, targets=QV),
    "ernie4_5": Family(_HEAD, targets=QV),
    "ernie4_5_moe": Family({"moe_num_experts": 4, "moe_k": 2, "moe_intermediate_size": 32}, targets=QV),
    "exaone4": Family(_WINDOW | {"num_hidden_layers": 4}, "sliding and full", QV),
    "exaone4_full": Family(
        {"sliding_window": None, "layer_types": ["full_attention"] * 2}, targets=QV, model_type="exaone4"
    ),
    "falcon": Family({"new_decoder_architecture": False, "multi_query": True}),
    "falcon_alibi": Family({"alibi": True, "multi_query": False}, "ALiBi", model_type="falcon"),
    "falcon_h1": Family(
        _MAMBA | _HEAD | {"mamba_d_ssm": 64, "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1},
        "state and full",
        QV,
    ),
    "falcon_mamba": Family({"state_size": 8}, "state", ("in_proj", "x_proj")),
    "flex_olmo": Family(_EXPERTS, targets=QV),
    "gemma": Family(_HEAD | _UNTIED),
    "gemma2": Family(_HEAD | _WINDOW | {"query_pre_attn_scalar": 16}, "sliding and full"),
    "gemma3_text": Family(_HEAD | _WINDOW | {"query_pre_attn_scalar": 16, "num_hidden_layers": 6}, "sliding and full"),
    "gemma4_text": Family(
        _HEAD
        | _WINDOW
        | {"num_hidden_layers": 6, "global_head_dim": 16, "hidden_size_per_layer_input": 8}
        | {"vocab_size_per_layer_input": 512},
        "sliding and full",
    ),
    "glm": Family(_HEAD, targets=QV),
    "glm4": Family(_HEAD, targets=QV),
    "glm4_moe": Family(_ROUTED | _HEAD | {"first_k_dense_replace": 1}, targets=QV),
    "gpt2": Family(_GPT),
    "gpt_bigcode": Family(_GPT),
    "gpt_neo": Family(
        {"num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
        "local and full",
    ),
    "gpt_neox": Family(),
    "gpt_oss": Family(_LOCAL_EXPERTS | _HEAD | _WINDOW, "sliding and full", QV),
    "gptj": Family(_GPT | {"rotary_dim": 8}),
    "granite": Family(targets=QV),
    "granitemoe": Family(_LOCAL_EXPERTS, targets=QV),
    "granitemoehybrid": Family(
        {
            "num_local_experts": 0,
            "shared_intermediate_size": 64,
            "layer_types": ["mamba", "attention"],
            "mamba_n_heads": 8,
            "mamba_d_head": 16,
            "position_embedding_type": "nope",
        }
        | _MAMBA,
        "state and full",
        QV,
    ),
    "helium": Family(_HEAD, targets=QV),
    "hunyuan_v1_dense": Family(_HEAD, targets=QV),
    "jamba": Family(
        {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "num_experts": 2}
        | {"mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
        "state and full",
        QV,
    ),
    "jetmoe": Family({"kv_channels": 16} | _LOCAL_EXPERTS | _UNTIED, targets=("kv_proj",)),
    "lfm2": Family({"layer_types": ["conv", "full_attention"]} | _UNTIED, "convolutions and full", QV),
    "llama": Family(),
    "mamba": Family({"state_size": 8}, "state", ("in_proj", "x_proj")),
    "mamba2": Family(
        {"state_size": 8, "num_heads": 8, "head_dim": 16, "n_groups": 1, "chunk_size": 16}, "state", ("in_proj",)
    ),
    "ministral": Family(_WINDOW | _HEAD, "sliding", QV),
    "mistral": Family(_WINDOW | _HEAD, "sliding"),
    "mistral_full": Family(_HEAD | {"sliding_window": None}, model_type="mistral"),
    "mixtral": Family(_LOCAL_EXPERTS | _HEAD),
    "modernbert-decoder": Family(
        {"local_attention": WINDOW, "num_hidden_layers": 4, "pad_token_id": 0}, "sliding and full", ("Wo",)
    ),
    "mpt": Family({"d_model": 64, "n_layers": 2, "n_heads": 4, "max_seq_len": 256, "expansion_ratio": 2}, "ALiBi"),
    "nanochat": Family(targets=QV),
    "nemotron": Family(targets=QV),
    "nemotron_h": Family(
        {"layers_block_type": ["mamba", "attention", "mlp"], "num_hidden_layers": 3, "ssm_state_size": 8}
        | {"mamba_num_heads": 8, "mamba_head_dim": 16, "n_groups": 1, "chunk_size": 16}
        | _HEAD,
        "state and full",
    ),
    "olmo": Family(targets=QV),
    "olmo2": Family(targets=QV),
    "olmo3": Family(_WINDOW | {"num_hidden_layers": 4}, "sliding and full", QV),
    "olmoe": Family({"num_experts": 4, "num_experts_per_tok": 2}, targets=QV),
    "opt": Family({"ffn_dim": 96, "word_embed_proj_dim": 64}),
    "opt_350m": Family({"ffn_dim": 96, "word_embed_proj_dim": 32, "do_layer_norm_before": False}, model_type="opt"),
    "persimmon": Family(targets=("query_key_value",)),
    "phi": Family(),
    "phi3": Family({"original_max_position_embeddings": 256}, targets=("qkv_proj",)),
    "phimoe": Family(_LOCAL_EXPERTS | _WINDOW, "sliding", QV),
    "qwen2": Family(),
    "qwen2_moe": Family(_EXPERTS | {"shared_expert_intermediate_size": 32}),
    "qwen3": Family(_HEAD),
    "qwen3_5_text": Family(_DELTA | _HEAD, "linear and full", QV),
    "qwen3_moe": Family(_EXPERTS | _HEAD),
    "qwen3_next": Family(_EXPERTS | _DELTA | _HEAD | {"shared_expert_intermediate_size": 32}, "linear and full", QV),
    "recurrent_gemma": Family(
        {"num_hidden_layers": 3, "lru_width": 64, "attention_window_size": WINDOW}, "state and sliding", QV
    ),
    "rwkv": Family({"attention_hidden_size": 64, "context_length": 256}, "state", ("key", "value", "output")),
    "seed_oss": Family(_HEAD, targets=QV),
    "smollm3": Family(targets=QV),
    "stablelm": Family(),
    "starcoder2": Family(targets=QV),
    "vaultgemma": Family(_HEAD | _WINDOW | _UNTIED | {"query_pre_attn_scalar": 16}, "sliding and full", QV),
    "xglm": Family({"d_model": 64, "ffn_dim": 96, "num_layers": 2, "attention_heads": 4} | _UNTIED, targets=QV),
    "zamba2": Family(
        {
            "num_hidden_layers": 2,
            "layers_block_type": ["mamba", "hybrid"],
            "hybrid_layer_ids": [1],
            "mamba_d_state": 8,
            "n_mamba_heads": 8,
            "mamba_headdim": 16,
            "mamba_ngroups": 1,
            "chunk_size": 16,
            "num_mem_blocks": 1,
            "use_mem_rope": False,
        },
        "state and full",
        QV,
    ),
}
"""By name."""
