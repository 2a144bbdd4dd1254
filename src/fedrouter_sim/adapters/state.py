"""Adapters: LoRA states as plain tensors. Their weighted mean, their checks, and PEFT folders in and out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import write_json

Adapter = Mapping[str, Tensor]
"""PEFT state-dict key -> float32 CPU tensor: `....lora_A.weight` (r, d_in) and `....lora_B.weight` (d_out, r)."""

WEIGHTS_NAME = "adapter_model.safetensors"
CONFIG_NAME = "adapter_config.json"


class WeightedMean:
    """The running weighted mean of adapters, factor by factor: mean of the A's and mean of the B's (FedAvg).

    Sums are kept in float64. With whole-number weights they are exact in practice, so the mean of equal adapters is
    that adapter to the bit. Memory is that of one adapter, however many are added; add in a fixed order.
    """

    def __init__(self) -> None:
        self.total = 0.0
        self._sums: dict[str, Tensor] = {}

    def add(self, adapter: Adapter, weight: float) -> None:
        """Add one adapter.

        Raises:
            ValueError: the weight is not positive, a value is not finite, or keys or shapes differ from the first's.
        """
        if not weight > 0:
            raise ValueError(f"weight {weight} is not positive")
        check_finite(adapter)
        if not self._sums:
            self._sums = {key: torch.zeros(value.shape, dtype=torch.float64) for key, value in adapter.items()}
        check_compatible(self._sums, adapter)
        for key, value in adapter.items():
            self._sums[key].add_(value.double(), alpha=weight)
        self.total += weight

    def result(self) -> Adapter:
        """Return the mean in float32.

        Raises:
            ValueError: nothing was added.
        """
        if not self._sums:
            raise ValueError("the mean of no adapters is undefined")
        return {key: (value / self.total).float() for key, value in self._sums.items()}


def check_compatible(reference: Adapter, adapter: Adapter) -> None:
    """Raise ValueError unless both have the same keys and shapes."""
    if reference.keys() != adapter.keys():
        odd = sorted(reference.keys() ^ adapter.keys())
        raise ValueError(f"adapters differ in their keys, first {odd[0]!r}")
    for key, value in reference.items():
        if value.shape != adapter[key].shape:
            raise ValueError(
                f"adapters differ in {key!r}: shape {tuple(value.shape)} against {tuple(adapter[key].shape)}"
            )


def check_finite(adapter: Adapter) -> None:
    """Raise ValueError if a value is NaN or infinite."""
    for key, value in adapter.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"adapter weight {key!r} is not finite")


def adapter_bytes(adapter: Adapter) -> int:
    """Return the size of the weights in bytes, as they would be sent."""
    return sum(value.numel() * value.element_size() for value in adapter.values())


def adapter_digest(adapter: Adapter) -> str:
    """Return the SHA-256 hex digest of an adapter: of each key in sorted order, its shape and its float32 values."""
    digest = hashlib.sha256()
    for key in sorted(adapter):
        value = adapter[key].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{key}\0{tuple(value.shape)}\0".encode())
        digest.update(value.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def scaled(adapter: Adapter, factor: float) -> Adapter:
    """Return the adapter whose products B A are `factor` times as large: the B's are scaled."""
    return {key: value * factor if "lora_B" in key else value for key, value in adapter.items()}


def save_adapter(folder: Path, adapter: Adapter, peft_config: Mapping[str, Any]) -> None:
    """Write a PEFT folder that `PeftModel.from_pretrained(base, folder)` opens; same adapter, same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_NAME, peft_config)
    tensors = {key: adapter[key].contiguous() for key in sorted(adapter)}
    (folder / WEIGHTS_NAME).write_bytes(save(tensors, metadata={"format": "pt"}))


def load_adapter(folder: Path) -> Adapter:
    """Read the weights of a PEFT folder.

    Raises:
        UserError: the folder has no readable, finite safetensors weights.
    """
    path = folder / WEIGHTS_NAME
    try:
        adapter = load_file(path)
        check_finite(adapter)
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(
            f"{path}: not a usable adapter ({error}); give a folder that train or aggregate wrote"
        ) from None
    return {key: value.float() for key, value in adapter.items()}


def load_peft_config(folder: Path) -> dict[str, Any]:
    """Read the adapter configuration of a PEFT folder.

    Raises:
        UserError: the file is missing or not JSON.
    """
    path = folder / CONFIG_NAME
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
    return config


@dataclass(frozen=True)
class LoraScale:
    """How an adapter's products count: the update of a module is `factor` B A, with A of `rank` rows."""

    rank: int
    factor: float  # alpha / r, or alpha / sqrt(r) with rank-stabilised LoRA


def load_lora_scale(folder: Path) -> LoraScale:
    """Read rank and scale of a PEFT folder.

    Raises:
        UserError: its configuration is no plain LoRA's: another method, or ranks or scales of single modules.
    """
    path = folder / CONFIG_NAME
    config = load_peft_config(folder)
    try:
        if config["peft_type"] != "LORA":
            raise ValueError(f"peft_type is {config['peft_type']!r}, not 'LORA'")
        for key in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save"):
            if config.get(key):
                raise ValueError(f"{key} is set")
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        if rank < 1 or not 0 < alpha < float("inf"):
            raise ValueError(f"r is {rank} and lora_alpha {alpha:g}")
    except (KeyError, TypeError, ValueError) as error:
        fault = f"has no {error}" if isinstance(error, KeyError) else error
        raise UserError(f"{path}: no plain LoRA adapter ({fault}); only A and B of one rank can be averaged") from None
    return LoraScale(rank, alpha / (rank**0.5 if config.get("use_rslora") else rank))
