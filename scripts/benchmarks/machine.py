"""What the benchmarks ran on."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from fedrouter_sim.backbone.devices import computes_bfloat16

_CPUINFO = Path("/proc/cpuinfo")


def machine(dtype: str) -> dict[str, str | int]:
    """Describe the machine, the threads and the libraries; `dtype` is that of the frozen base."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": "yes" if has_bfloat16() else "no",
        "cores": cores,
        "threads": torch.get_num_threads(),
        "dtype": dtype,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "peft", "faiss-cpu", "scikit-learn")},
    }


def has_bfloat16() -> bool:
    """Say whether the processor computes in bfloat16; where torch emulates it, it is far slower than float32."""
    return computes_bfloat16(torch.device("cpu"))


def _cpuinfo(key: str) -> str:
    """Return a value of the first processor as Linux tells it, empty where there is none."""
    if not _CPUINFO.is_file():
        return ""
    for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
