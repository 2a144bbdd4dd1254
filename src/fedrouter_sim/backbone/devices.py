"""Where the backbone computes, and in which precision: what 'auto' means on this machine."""

from importlib.util import find_spec
from pathlib import Path

import torch

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError

# Weights of a model that bfloat16 does not make faster: the tiny GPT-2 (1.6 million) took 1.4 times as long in it, and
# twice the memory.
SMALL = 30_000_000
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


def resolve_dtype(name: str, device: torch.device, weights: int) -> torch.dtype:
    """Return the data type of the frozen base under --dtype.

    'auto' is bfloat16 where `device` computes in it and the model is not so small that converting numbers takes longer
    than multiplying them.

    Args:
        name: 'auto', 'float32' or 'bfloat16'.
        device: where the model computes.
        weights: how many numbers the model's weights hold.
    """
    if name != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[name]
    return torch.bfloat16 if weights >= SMALL and computes_bfloat16(device) else torch.float32


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


def _processor_has_bfloat16() -> bool:
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not _BFLOAT16_FLAGS.isdisjoint(flags.split())
