"""Where the backbone computes, and in which precision: what 'auto' means on this machine."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import torch

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError

_CPUINFO = Path("/proc/cpuinfo")
# Flags of processors that multiply bfloat16 matrices: x86 with AVX-512 BF16 or AMX, Arm with BF16. Elsewhere torch
# emulates it, some thirty times slower than float32.
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def resolve_device(name: str) -> torch.device:
    """Return the device of --device: 'auto' is CUDA where there is a usable card.

    Raises:
        UserError: 'cuda' is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no CUDA device on this machine; take --device cpu or auto")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def resolve_dtype(name: str, device: torch.device, faster: Callable[[], torch.dtype]) -> torch.dtype:
    """Return the data type of the frozen base under --dtype.

    Args:
        name: 'float32', 'bfloat16', or 'auto': the faster one.
        device: where the model computes.
        faster: says which is faster; asked for 'auto' alone, and only where `device` computes in bfloat16.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    return faster() if computes_bfloat16(device) else torch.float32


def computes_bfloat16(device: torch.device) -> bool:
    """Say whether a device multiplies in bfloat16; where torch emulates it, it is far slower than float32."""
    return torch.cuda.is_bf16_supported() if device.type == "cuda" else _processor_has_bfloat16()


def check_quantize(config: RunConfig, device: torch.device) -> None:
    """Refuse --quantize where it cannot work.

    Raises:
        UserError: it is asked for without a CUDA device, or without the package that does it.
    """
    if config.quantize == "none":
        return
    if device.type != "cuda":
        raise UserError(f"--quantize {config.quantize}: needs a CUDA device; on the processor drop it")
    if find_spec("bitsandbytes") is None:
        raise UserError(
            f"--quantize {config.quantize}: needs the package bitsandbytes; pip install 'fedrouter-sim[4bit]'"
        )


def dtype_name(dtype: torch.dtype) -> str:
    """Return 'float32', 'bfloat16': the name that --dtype has for it."""
    return str(dtype).removeprefix("torch.")


def processor() -> str:
    """Return what the processor calls itself, with what it can do; empty where the system does not say."""
    lines = _cpu_lines()
    found = (
        next((line for line in lines if line.startswith(name)), "") for name in ("model name", "flags", "Features")
    )
    return " ".join(line.partition(":")[2].strip() for line in found if line)


def _processor_has_bfloat16() -> bool:
    flags = next((line for line in _cpu_lines() if line.startswith(("flags", "Features"))), "")
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())


def _cpu_lines() -> list[str]:
    try:
        return _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return []


def own_randomness(device: torch.device) -> AbstractContextManager[None]:
    """Leave torch's global generators as they were."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
