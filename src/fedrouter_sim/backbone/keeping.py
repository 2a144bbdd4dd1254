"""Where states of rows are kept once they are computed: in main memory, and then in a file without a name."""

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

import torch
from torch import Tensor

from fedrouter_sim.backbone.caches import ROWS, cache_folder
from fedrouter_sim.backbone.forward import Tokens
from fedrouter_sim.backbone.locating import say

KEPT_BYTES = 2**30
"""Most that one process keeps in main memory of what lower layers made of rows."""

KEPT_BYTES_ON_DISK = 2**34
"""Most that it keeps on disk beside that, and never more than half of what is free there."""

RowKey = tuple[Tokens, bool, int]
"""A row's tokens, whether its attention cache is wanted, and how many of its first tokens are the prompt that the rest
was run after; 0: all were run together."""


@dataclass(frozen=True)
class Made:
    """What the lower layers made of a row after the opening of all, or after another row, all in one data type.

    Attributes:
        hidden: what enters the first adapted layer (L, d).
        states: keys and values (heads, L, width) of each lower layer; none where they were not asked for.
    """

    hidden: Tensor
    states: tuple[tuple[Tensor, Tensor], ...]

    @property
    def tensors(self) -> list[Tensor]:
        """All of them in order."""
        return [self.hidden, *(state for pair in self.states for state in pair)]

    @property
    def nbytes(self) -> int:
        """Their size."""
        return sum(tensor.nbytes for tensor in self.tensors)


@dataclass(frozen=True)
class _Place:
    """Where a row lies in the file, and what it was."""

    first: int
    nbytes: int
    dtype: torch.dtype
    shapes: tuple[torch.Size, ...]


class KeptRows:
    """Keeps the first rows that come, up to a number of bytes in memory and then up to one on disk. No row gives way to
    another, as rows come in turns and each would be dropped before it comes again.

    The file lies in the cache folder and has no name: it is gone with the process, however that ends. Where it cannot
    be written, rows beyond memory are not kept.

    Args:
        most_bytes: in main memory.
        most_on_disk: in the file.
    """

    def __init__(self, most_bytes: int = KEPT_BYTES, most_on_disk: int = KEPT_BYTES_ON_DISK) -> None:
        self._most = most_bytes
        self._most_on_disk = most_on_disk
        self._file: IO[bytes] | None = None
        self.forget()

    def forget(self) -> None:
        """Keep nothing of what came so far."""
        self._in_memory: dict[RowKey, Made] = {}
        self._on_disk: dict[RowKey, _Place] = {}
        self._left = self._most
        self._written = 0
        self._room: int | None = None  # in the file; None before the first row
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def counts(self) -> tuple[int, int]:
        """How many rows are kept in memory and on disk."""
        return len(self._in_memory), len(self._on_disk)

    def get(self, key: RowKey) -> Made | None:
        """Return what was kept of a row; None: nothing."""
        if key in self._in_memory:
            return self._in_memory[key]
        place = self._on_disk.get(key)
        return None if place is None else self._read(place)

    def keep(self, key: RowKey, made: Made) -> None:
        """Keep a row if there is room."""
        if made.nbytes <= self._left:
            self._in_memory[key] = made
            self._left -= made.nbytes
            return
        if self._room is None:
            self._room = self._open()
        if self._written + made.nbytes <= self._room:
            self._write(key, made)

    def _open(self) -> int:
        """Make the file, and return how many bytes it may hold."""
        folder = cache_folder(ROWS)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  # open as long as rows are kept
            return min(self._most_on_disk, shutil.disk_usage(folder).free // 2)
        except OSError as error:
            self._give_up(error)
            return 0

    def _write(self, key: RowKey, made: Made) -> None:
        assert self._file is not None
        parts = [tensor.contiguous().view(torch.uint8).numpy().tobytes() for tensor in made.tensors]
        data = memoryview(b"".join(parts))
        place = _Place(self._written, len(data), made.hidden.dtype, tuple(one.shape for one in made.tensors))
        try:
            while data:
                data = data[os.pwrite(self._file.fileno(), data, place.first + place.nbytes - len(data)) :]
        except OSError as error:
            self._room = self._written  # rows that are there stay
            self._give_up(error)
            return
        self._written += place.nbytes
        self._on_disk[key] = place

    def _read(self, place: _Place) -> Made | None:
        assert self._file is not None
        data = bytearray()
        with suppress(OSError):
            while part := os.pread(self._file.fileno(), place.nbytes - len(data), place.first + len(data)):
                data += part
        if len(data) < place.nbytes:
            return None  # a damaged disk: the row is computed anew
        sizes = [shape.numel() for shape in place.shapes]
        hidden, *states = (
            part.view(shape)
            for part, shape in zip(torch.frombuffer(data, dtype=place.dtype).split(sizes), place.shapes, strict=True)
        )
        return Made(hidden, tuple(zip(states[::2], states[1::2], strict=True)))

    def _give_up(self, error: OSError) -> None:
        say(
            f"--lora-layers: what the lower layers make of further rows cannot be kept in {cache_folder(ROWS)} "
            f"({error.strerror}), and is computed each time; FEDROUTER_SIM_CACHE names another folder"
        )
