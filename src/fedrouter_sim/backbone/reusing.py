"""Embeddings and sketches of rows, kept on this machine for runs that ask for the same again.

Who tries other methods or learning rates on the same data asks the frozen backbone for the same embeddings and
gradients each time; with a real model that is most of what happens before round 1. A result is found again only under
everything that its bytes depend on: the whole request (what a text yields may depend, in its last bits, on the texts
that share its batch), the backbone, the settings, the machine, the threads, the libraries, and this package's own code.
"""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedrouter_sim.adapters.state import Adapter, adapter_digest
from fedrouter_sim.arrays import Floats
from fedrouter_sim.backbone.caches import RESULTS, cache_folder
from fedrouter_sim.backbone.caching import RequestCache
from fedrouter_sim.backbone.devices import processor
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import write_bytes

SWITCH = "FEDROUTER_SIM_REUSE"
"""The environment variable that, set to 0, has everything computed anew."""

KEPT_BYTES = 2**31
"""Most that is kept on disk; what was not asked for longest goes first."""

FEWEST_ROWS = 16
"""Of a request that is kept: a text that is routed alone is computed as fast as it is read."""

_KERNEL_VARIABLES = ("ATEN_", "DNNL_", "MKL_", "ONEDNN_")  # by which users choose how matrices are multiplied
_SETTINGS = "template max_tokens quantize lora_rank lora_alpha lora_targets lora_layers embedding".split()


class ReusedResults:
    """Keeps what requests to a backbone gave, (n, d), in the cache folder. A folder that cannot be written keeps
    nothing, a file that is damaged is written anew, and no run fails for either.

    Args:
        config: of the backbone.
        digest: of the model.
        dtype: in which it computes.
        in_memory: where embeddings are looked for first, as a run asks for them several times.
        most_bytes: that are kept on disk.
    """

    def __init__(
        self, config: RunConfig, digest: str, dtype: str, in_memory: RequestCache, most_bytes: int = KEPT_BYTES
    ) -> None:
        self._in_memory = in_memory
        self._most = most_bytes
        self._held: int | None = None  # bytes in the folder; None before the first file is written
        self._of_backbone = {
            **{name: getattr(config, name) for name in _SETTINGS},
            "backbone": digest,
            "dtype": dtype,
            "device": config.device,
        }

    def embeddings(self, texts: Sequence[str], compute: Callable[[Sequence[str]], Floats]) -> Floats:
        """Return the embeddings of texts, computed only if they are not there; not to be written to."""
        request = ["embed", *texts]
        on_disk = partial(self._get, request, len(texts), partial(compute, texts))
        return self._in_memory.get(request, on_disk, lambda found: found.nbytes)

    def sketches(
        self, start: Adapter, examples: Sequence[EncodedExample], seed: int, compute: Callable[[], Floats]
    ) -> Floats:
        """Return the gradient sketches of examples at an adapter, by the projection of a seed; as `embeddings`."""
        rows = [[example.prompt.ids, example.response] for example in examples]
        return self._get(["sketch", adapter_digest(start), seed, rows], len(rows), compute)

    def _get(self, request: Any, rows: int, compute: Callable[[], Floats]) -> Floats:
        file = self._file_of(request) if rows >= FEWEST_ROWS and os.environ.get(SWITCH) != "0" else None
        known = None if file is None else _read(file, rows)
        found = compute() if known is None else known
        if file is not None and known is None:
            self._keep(file, found)
        found.flags.writeable = False
        return found

    def _file_of(self, request: Any) -> Path | None:
        """Return where the result of a request is or would be kept; None where there is no place for it."""
        code = _code_digest()
        with suppress(RuntimeError):  # the user has no home folder
            if code is not None:
                whole = json.dumps({**self._of_backbone, **_machine(), "code": code, "request": request})
                return cache_folder(RESULTS) / f"{hashlib.sha256(whole.encode()).hexdigest()[:40]}.safetensors"
        return None

    def _keep(self, file: Path, found: Floats) -> None:
        values = np.ascontiguousarray(found)
        data = save({"rows": values, "sha256": _checksum(values)})
        if len(data) > self._most:
            return
        with suppress(OSError, UserError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_bytes(file, data, sync=False)
            self._held = _size(file.parent) if self._held is None else self._held + len(data)
            if self._held > self._most:
                self._held = _drop_oldest(file.parent, self._most)


def _read(file: Path, rows: int) -> Floats | None:
    """Return what a file holds; None where it is missing or damaged."""
    try:
        tensors = load(file.read_bytes())
        found = tensors["rows"]
        if found.dtype != np.float32 or found.ndim != 2 or len(found) != rows:
            return None
        if not np.array_equal(tensors["sha256"], _checksum(found)):
            return None
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    with suppress(OSError):
        os.utime(file)  # it was asked for
    return found


def _checksum(values: Floats) -> Any:
    return np.frombuffer(hashlib.sha256(values.tobytes()).digest(), dtype=np.uint8)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def _drop_oldest(folder: Path, most: int) -> int:
    """Remove what was not asked for longest, down to three quarters of so many bytes, and return what is left."""
    files = sorted(((one.stat().st_mtime_ns, one.stat().st_size, one) for one in folder.iterdir()), reverse=True)
    held = 0
    for _, size, file in files:
        if held + size > most * 3 // 4:
            file.unlink(missing_ok=True)
        else:
            held += size
    return held


def _machine() -> dict[str, Any]:
    """Return what, beside the backbone, the last bits of a result depend on."""
    return {
        **_installed(),
        "threads": torch.get_num_threads(),
        "variables": {name: os.environ[name] for name in sorted(os.environ) if name.startswith(_KERNEL_VARIABLES)},
    }


@cache
def _installed() -> dict[str, Any]:
    """Return what of it stays as it is in a process."""
    return {
        "processor": torch.cuda.get_device_name() if torch.cuda.is_available() else processor(),
        "machine": platform.machine(),
        "kernels": torch.backends.cpu.get_cpu_capability(),
        "libraries": {name: version(name) for name in ("torch", "transformers", "peft", "numpy")},
    }


@cache
def _code_digest() -> str | None:
    """Return a digest of the code that computes; None where there are no files of it."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    with suppress(OSError):
        return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest() if files else None
    return None
