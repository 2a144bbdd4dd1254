"""What --dtype auto is where the device computes in bfloat16: the type in which a measured step is faster.

bfloat16 is not faster everywhere that has it: small models take longer to convert numbers than to multiply them. A step
is measured once per machine, device, threads and backbone, and kept in the user's cache, so that runs which follow take
the same type.
"""

import gc
import hashlib
import math
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedrouter_sim.backbone.caches import STEPS, cache_folder
from fedrouter_sim.backbone.devices import dtype_name, processor
from fedrouter_sim.backbone.encoding import EncodedExample, Prompt
from fedrouter_sim.backbone.forward import response_losses
from fedrouter_sim.backbone.loading import load_model, quiet, without_notices
from fedrouter_sim.backbone.locating import say
from fedrouter_sim.backbone.lora import lora_config, slot_of, with_lora
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import json_text, read_json, write_json
from fedrouter_sim.typed import taken

TYPES = (torch.float32, torch.bfloat16)
_ROWS, _PROMPT, _RESPONSE = 4, 80, 16  # of the step: four rows of about the length of instructions and short answers
_REPEATS = 3  # of which the fastest counts, as other work on the machine can only slow a step down


@dataclass(frozen=True)
class MeasuredSteps:
    """Seconds that a step took in each data type, by its name."""

    seconds: Mapping[str, float]

    @property
    def faster(self) -> torch.dtype:
        """The type of the fastest step; float32 where two are equal."""
        return min(TYPES, key=lambda dtype: self.seconds[dtype_name(dtype)])


def measured_steps(config: RunConfig, folder: Path, digest: str, device: torch.device) -> MeasuredSteps:
    """Return what a step takes in each data type: as it was measured on this machine, or else measured now and kept.

    Where several processes measure at once, the first that is done is believed by all. A cache that cannot be written
    keeps nothing, and no run fails for it.

    Args:
        config: the model and its adapters.
        folder: of the model.
        digest: of the model.
        device: where it computes.

    Raises:
        UserError: the model, or its LoRA targets, are not usable.
    """
    where: dict[str, Any] = {
        "backbone": digest,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else processor(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    file = cache_folder(STEPS) / f"{hashlib.sha256(json_text(where).encode()).hexdigest()[:32]}.json"
    if (kept := _kept(file)) is not None:
        return kept
    say(f"measuring a step of {config.model} in float32 and in bfloat16, once on this machine (--dtype names a type)")
    found = MeasuredSteps({dtype_name(dtype): _fastest_step(config, folder, dtype, device) for dtype in TYPES})
    if (kept := _kept(file)) is not None:
        return kept
    with suppress(OSError, UserError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {**where, "seconds": dict(found.seconds)})
    return found


def _kept(file: Path) -> MeasuredSteps | None:
    """Return what a file says; None where it is missing or damaged, and so is written anew."""
    try:
        seconds = taken(read_json(file, ""), "seconds", Mapping[str, float])
        found = MeasuredSteps({name: float(seconds[name]) for name in map(dtype_name, TYPES)})
    except (UserError, ValueError, KeyError):
        return None
    return found if all(0 < value < math.inf for value in found.seconds.values()) else None


def _fastest_step(config: RunConfig, folder: Path, dtype: torch.dtype, device: torch.device) -> float:
    """Return the seconds of a step forwards and backwards, without the optimizer's, which is the same in all types."""
    _, model = load_model(folder, config.model, dtype, device)
    vocabulary = model.get_input_embeddings().num_embeddings
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), quiet(), without_notices():
        peft_model = with_lora(model, lora_config(config, model), config.model).eval()
        factors = list(slot_of(peft_model).values())
        ids = [tuple((row + 7 * place) % vocabulary for place in range(_PROMPT + _RESPONSE)) for row in range(_ROWS)]
        examples = [EncodedExample(Prompt(one[:_PROMPT], cut=False), one[_PROMPT:]) for one in ids]
        seconds = []
        for _ in range(1 + _REPEATS):  # the first also sets things up
            started = time.perf_counter()
            loss = response_losses(peft_model, None, examples, 0, 0, device)[0].mean()
            torch.autograd.grad(loss, factors, allow_unused=True)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - started)
    del model, peft_model, factors, loss
    gc.collect()  # models are full of circles, and two of them at once may not fit
    return min(seconds[1:])
