"""PEFT folders in and out."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import torch
from safetensors.torch import save

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.showing import shown
from fedrouter_sim.storage import json_text, read_json, write_bytes
from fedrouter_sim.tensors import Tensors
from fedrouter_sim.typed import Within, taken

MOST_RANK = 2**16
"""Beyond the width of any model."""

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
    tensors = Tensors(folder / WEIGHTS_NAME, "give a folder that train or aggregate wrote")
    for key, value in tensors.items():
        if value.dtype.kind != "f":
            raise tensors.refused(f"{shown(key)} must be floats")
    if not tensors:
        raise tensors.refused("it has no tensors")
    return {key: torch.from_numpy(value).float() for key, value in tensors.items()}


def load_peft_config(folder: Path) -> dict[str, Any]:
    """Read the adapter configuration of a PEFT folder.

    Raises:
        UserError: the file is missing or not JSON.
    """
    return read_json(folder / CONFIG_NAME, "give a folder that PEFT, train or aggregate wrote")


def plain_peft_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a PEFT folder with what PEFT knows of LoRA and nothing else, to be written anew.

    Raises:
        UserError: as `load_peft_config`.
    """
    from peft import LoraConfig

    known = {one.name for one in fields(LoraConfig)}
    config = {key: value for key, value in load_peft_config(folder).items() if key in known}
    return config | ({"auto_mapping": None} if "auto_mapping" in config else {})  # a module that PEFT would import


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
        if taken(config, "peft_type", str) != "LORA":
            raise ValueError(f"peft_type is {shown(config['peft_type'])}, not 'LORA'")
        for key in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save"):
            if config.get(key):
                raise ValueError(f"{key} is set")
        rank = taken(config, "r", Annotated[int, Within(1, MOST_RANK)])
        alpha = float(taken(config, "lora_alpha", Annotated[float, Within(1e-30, 1e30)]))
        rooted = taken(config, "use_rslora", bool | None, False)
    except ValueError as error:
        raise UserError(f"{path}: no plain LoRA adapter ({error}); only A and B of one rank can be averaged") from None
    return LoraScale(rank, alpha / (rank**0.5 if rooted else rank))
