"""PEFT folders in and out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fedrouter_sim.adapters.state import Adapter, check_finite
from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import json_text, write_bytes

WEIGHTS_NAME = "adapter_model.safetensors"


CONFIG_NAME = "adapter_config.json"


def save_adapter(folder: Path, adapter: Adapter, peft_config: Mapping[str, Any]) -> None:
    """Write a PEFT folder that `PeftModel.from_pretrained(base, folder)` opens; same adapter, same bytes.

    Each file is whole or not there; who counts on the folder waits for the disk (`storage.sync_files`).
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / CONFIG_NAME, json_text(peft_config).encode(), sync=False)
    tensors = {key: adapter[key].contiguous() for key in sorted(adapter)}
    write_bytes(folder / WEIGHTS_NAME, save(tensors, metadata={"format": "pt"}), sync=False)


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
