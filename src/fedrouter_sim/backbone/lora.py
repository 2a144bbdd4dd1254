"""Which modules of a backbone LoRA adapts, and how, in PEFT's own configuration."""

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError, first_line

# Members of well-known families that PEFT has no usual targets for: those of their relatives.
_LIKE_RELATIVES = {"qwen2_moe": "qwen2", "qwen3_moe": "qwen3", "gemma4_text": "gemma3_text"}


# Modules whose weight is taken without calling them, by family: PEFT refuses them, or their adapters never learn.
_NOT_CALLED = {
    "out_proj": {"falcon_h1", "falcon_mamba", "mamba", "mamba2", "nemotron_h"},
    "dt_proj": {"falcon_mamba", "jamba", "mamba"},
}

# How families call their own kinds of linear modules that give back something else than a product.
_UNLIKE_LINEAR = ("Router", "GroupedLinear")

ALL_LINEAR = "all-linear"
"""What stands for all linear modules before the head."""

_SMALL = 64
"""A rank that is allowed for modules of any width: it takes no memory to speak of."""


def usual_targets(model_type: str) -> list[str]:
    """Return the names of the modules that LoRA usually adapts in a kind of model; none if it is not known."""
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    found = known.get(_LIKE_RELATIVES.get(model_type, model_type))
    return list(found) if isinstance(found, list) else []  # some kinds have a pattern, which is for whole names


def lora_config(config: RunConfig, model: Any) -> LoraConfig:
    """Return PEFT's configuration of the adapters for a model.

    Raises:
        UserError: the model has no usual targets, or a named target is no linear module of it.
    """
    targets = list(config.lora_targets) or usual_targets(model.config.model_type)
    if targets == [ALL_LINEAR]:
        targets = _linear_modules(model)
    if not targets:
        raise UserError(
            f"--model {config.model}: PEFT has no usual LoRA targets for {model.config.model_type!r}; name them with "
            "--lora-targets"
        )
    found = {t: [m for name, m in model.named_modules() if name == t or name.endswith("." + t)] for t in targets}
    for target, modules in found.items():
        if not modules or not all(_adaptable(target, module, model) for module in modules):
            raise UserError(
                f"--lora-targets {target!r}: LoRA cannot adapt such a module of this model; choose among "
                f"{', '.join(_linear_modules(model))}, or give {ALL_LINEAR!r} alone"
            )
    upper = _upper_layers(config, model, targets) if config.lora_layers else {}
    widest = max(min(_sizes(module)) for modules in found.values() for module in modules)
    if config.lora_rank > max(widest, _SMALL):
        raise UserError(
            f"--lora-rank {config.lora_rank}: the modules that LoRA adapts have at most {widest} inputs and outputs; "
            "give at most that"
        )
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # PEFT computes with floats as well
        lora_dropout=config.lora_dropout,
        target_modules=sorted(targets),
        fan_in_fan_out=any(isinstance(module, Conv1D) for modules in found.values() for module in modules),
        **upper,
    )


def decoder_layers(model: Any) -> tuple[str, nn.ModuleList] | None:
    """Return the name and the list of a model's decoder layers: the outermost list that is as long as its
    configuration says; None where there is none."""
    count = getattr(model.config, "num_hidden_layers", None)
    lists = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    return min(lists, key=lambda found: found[0].count("."), default=None)


def first_adapted(model: Any) -> tuple[nn.ModuleList, int]:
    """Return the decoder layers of a model with a LoRA slot, and the place of the lowest that has adapters.

    Raises:
        ValueError: its layers cannot be told apart, or no adapter is in one.
    """
    found = decoder_layers(model)
    for place, layer in enumerate(found[1] if found else ()):
        if any(isinstance(module, LoraLayer) for module in layer.modules()):
            return found[1], place  # type: ignore[index]  # there are layers
    raise ValueError("no decoder layer has adapters")


def _upper_layers(config: RunConfig, model: Any, targets: list[str]) -> dict[str, Any]:
    """Return what PEFT's configuration says of --lora-layers.

    Raises:
        UserError: the model has fewer layers, its layers cannot be told apart, or the upper ones have no targets.
    """
    asked, found = f"--lora-layers {config.lora_layers}", decoder_layers(model)
    if found is None:
        raise UserError(f"{asked}: the layers of --model {config.model} cannot be told apart; take --lora-layers 0")
    path, layers = found
    if config.lora_layers > len(layers):
        raise UserError(f"{asked}: --model {config.model} has {len(layers)} layers; give at most that, or 0 for all")
    first = len(layers) - config.lora_layers
    for target in targets:
        if any(name == target for name, _ in model.named_modules()):  # which PEFT adapts whatever its layer
            raise UserError(f"{asked}: does not go with --lora-targets {target!r}, a single module; drop one of both")
    if not any(
        f".{name}".endswith(f".{t}") for layer in layers[first:] for name, _ in layer.named_modules() for t in targets
    ):
        raise UserError(f"{asked}: those layers have no modules {', '.join(targets)}; adapt more layers")
    return {"layers_to_transform": list(range(first, len(layers))), "layers_pattern": path.rpartition(".")[2]}


def _sizes(module: nn.Module) -> tuple[int, int]:
    """Return the inputs and outputs of a linear module; of a quantised one its weight does not say."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return int(module.weight.shape[0]), int(module.weight.shape[1])  # type: ignore[index]


def with_lora(model: Any, lora: LoraConfig, name: str) -> Any:
    """Return a model with one LoRA slot in its target modules.

    Raises:
        UserError: PEFT cannot put it there.
    """
    targets = ", ".join(sorted(lora.target_modules or ()))
    try:
        return get_peft_model(model, lora)
    except Exception as error:  # PEFT refuses deep inside, for reasons of single families
        raise UserError(
            f"--model {name}: PEFT cannot adapt {targets} ({first_line(error)}); name other modules with --lora-targets"
        ) from error


def slot_of(peft_model: Any) -> dict[str, nn.Parameter]:
    """Return the parameters of a model's LoRA slot under the keys that PEFT saves them by."""
    slot = {
        name.replace(".default.", "."): parameter
        for name, parameter in peft_model.named_parameters()
        if parameter.requires_grad
    }
    saved = get_peft_model_state_dict(peft_model)
    if slot.keys() != saved.keys():
        raise RuntimeError(f"PEFT saves other keys than it trains: {sorted(slot.keys() ^ saved.keys())[:2]}")
    return slot


def drawn_adapter(slot: Mapping[str, Tensor], generator: torch.Generator) -> Adapter:
    """Return an adapter for a slot as PEFT draws it: A Kaiming uniform (a = sqrt 5), B = 0."""
    adapter = {key: torch.zeros(parameter.shape) for key, parameter in sorted(slot.items())}
    for key, value in adapter.items():
        if "lora_A" in key:
            nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=generator)
    return adapter


@contextlib.contextmanager
def dropping_out(peft_model: Any) -> Iterator[None]:
    """Turn LoRA's own dropout on, and none else; afterwards the model is in inference mode."""
    for module in peft_model.modules():
        if isinstance(module, LoraLayer):
            module.lora_dropout.train()
    try:
        yield
    finally:
        peft_model.eval()


def _linear_modules(model: Any) -> list[str]:
    """Return the last names of all modules that LoRA can adapt, sorted; as many of a module's last names as it takes to
    tell it from those that LoRA cannot adapt."""
    adaptable = {name: _adaptable(name, module, model) for name, module in model.named_modules()}
    of_others = {end for name, may in adaptable.items() if not may for end in _ends(name)}
    ends = (next((end for end in _ends(name) if end not in of_others), "") for name, may in adaptable.items() if may)
    return sorted({*ends} - {""})


def _ends(name: str) -> list[str]:
    """Return what a module's name ends with, at its dots, the shortest first."""
    parts = name.split(".")
    return [".".join(parts[-length:]) for length in range(1, len(parts) + 1)]


def _adaptable(name: str, module: nn.Module, model: Any) -> bool:
    """Say whether LoRA can adapt a module: a linear one that the model calls, before its head."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    called = model.config.model_type not in _NOT_CALLED.get(name.rsplit(".", 1)[-1], ())
    plain = not type(module).__name__.endswith(_UNLIKE_LINEAR)
    return isinstance(module, (nn.Linear, Conv1D)) and module is not head and called and plain


def json_config(lora: LoraConfig, model_name: str) -> dict[str, Any]:
    """Return adapter_config.json's content; sets become sorted lists, so that equal settings give equal bytes."""
    values = {**lora.to_dict(), "inference_mode": True, "base_model_name_or_path": model_name}
    return {key: sorted(value) if isinstance(value, set) else value for key, value in sorted(values.items())}
