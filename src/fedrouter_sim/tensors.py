"""Tensors out of safetensors files that others may have written: one way for all.

The header is checked before anything is allocated, and every value before it is used: of a known type, finite, also as
float32, and in range.
"""

import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Floats
from fedrouter_sim.errors import UserError
from fedrouter_sim.parsing import check_file, parse_json
from fedrouter_sim.showing import shown
from fedrouter_sim.typed import Count, Misfit, fitted

_TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip
_MOST_HEADER = 10**8  # bytes: what the format allows
_MOST_DIMENSIONS = 16
LARGEST = 1e15
"""The largest value that distances are computed of: its square, added up many times, is still a float32."""

Shape = tuple[int | None, ...]
"""Sizes that a tensor must have; None: any of at least 1."""


@dataclass(frozen=True)
class Described:
    """What a header says of a tensor."""

    dtype: str
    shape: tuple[Count, ...]
    data_offsets: tuple[Count, ...]

    @property
    def count(self) -> int:
        """Its numbers."""
        return math.prod(self.shape)


def read_header(path: Path) -> tuple[dict[str, Described], int]:
    """Return what a safetensors file says of its tensors, in their order, and where their bytes begin.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, or is larger than this machine's memory.
    """
    check_file(path, _memory())
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, _MOST_HEADER):
            raise ValueError("its header is longer than the file, or none")
        header = file.read(length)
    record = fitted(dict, parse_json(header.decode("utf-8")), "its header")
    record.pop("__metadata__", None)
    found: dict[str, Described] = {}
    at = 0
    for name, one in sorted(record.items(), key=lambda item: _begin(item[1])):
        described: Described = fitted(Described, one, f"tensor {shown(name)}")
        known = {"F8_E4M3": 1, "F8_E5M2": 1} | {dtype: np.dtype(code).itemsize for dtype, code in _TYPES.items()}
        if described.dtype not in known:
            raise Misfit(f"tensor {shown(name)} is of type {shown(described.dtype, '')}, which is not read")
        begin, end = described.data_offsets if len(described.data_offsets) == 2 else (-1, -1)
        nbytes = described.count * known[described.dtype]
        if len(described.shape) > _MOST_DIMENSIONS or begin != at or end != at + nbytes or end > size - 8 - length:
            raise Misfit(f"tensor {shown(name)} does not lie in the file as its shape and type say")
        at = end
        found[name] = described
    if at != size - 8 - length:
        raise ValueError("it has bytes that belong to no tensor")
    return found, 8 + length


def _begin(one: Any) -> int:
    try:
        return int(one["data_offsets"][0])
    except (LookupError, TypeError, ValueError):
        return -1


def _memory() -> int:
    """Return this machine's memory in bytes: a file that is larger cannot be read."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return sys.maxsize


class Tensors(Mapping[str, NDArray[Any]]):
    """The tensors of a file, each checked when it is taken. As a mapping it gives finite numbers of any type."""

    def __init__(self, path: Path, remedy: str) -> None:
        """Read a file.

        Args:
            path: the file.
            remedy: what to do if it is of no use, at the end of messages.

        Raises:
            UserError: it is missing or damaged, or a value is not finite.
        """
        self.path, self._remedy = path, remedy
        try:
            self._found = _loaded(path)
        except OSError as error:
            raise UserError(f"{path}: missing or damaged ({error.strerror or 'not readable'}); {remedy}") from None
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {remedy}") from None

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._found:
            raise self.refused(f"it has no tensor {shown(name)}")
        return self._found[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a tensor; the default where there is none of the name."""
        return self._found.get(name, default)

    def __iter__(self) -> Any:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def __contains__(self, name: object) -> bool:
        return name in self._found

    def refused(self, said: str) -> UserError:
        """Return the refusal of the file."""
        return UserError(f"{self.path}: damaged ({said}); {self._remedy}")

    def floats(self, name: str, shape: Shape, most: float = LARGEST) -> Floats:
        """Return a tensor of floats.

        Args:
            name: its name.
            shape: that it must have.
            most: the largest that its values may be.

        Raises:
            UserError: it is missing, or of another type or shape, or a value is too large.
        """
        found = self[name]
        if found.dtype.kind != "f" or not _has(found.shape, shape):
            raise self.refused(f"{shown(name, '')} must be floats of shape {_words(shape)}")
        if found.size and float(np.abs(found).max()) > most:
            raise self.refused(f"{shown(name, '')} has a value above {most:g}")
        return found

    def whole(self, name: str, shape: Shape, least: int = 0, most: int = 2**62) -> NDArray[Any]:
        """Return a tensor of whole numbers, within limits.

        Raises:
            UserError: it is missing, or of another type or shape, or a value is outside the limits.
        """
        found = self[name]
        if found.dtype.kind not in "iu" or not _has(found.shape, shape):
            raise self.refused(f"{shown(name, '')} must be whole numbers of shape {_words(shape)}")
        if found.size and not (least <= int(found.min()) and int(found.max()) <= most):
            raise self.refused(f"{shown(name, '')} must be of at least {least} and at most {most}")
        return found if found.dtype.kind == "i" else found.astype(np.int64)


def _has(shape: tuple[int, ...], wanted: Shape) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(size > 0 if want is None else size == want for size, want in zip(shape, wanted, strict=True))


def _words(shape: Shape) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"


def _loaded(path: Path) -> dict[str, NDArray[Any]]:
    header, begin = read_header(path)
    found: dict[str, NDArray[Any]] = {}
    with path.open("rb") as file:
        file.seek(begin)
        for name, one in header.items():
            if one.dtype not in _TYPES:
                raise Misfit(f"tensor {shown(name)} is of type {one.dtype}, which nothing is computed in here")
            values = np.fromfile(file, dtype=_TYPES[one.dtype], count=one.count)
            if len(values) != one.count:
                raise ValueError("it ends within a tensor")
            if one.dtype == "BF16":
                values = (values.astype(np.uint32) << 16).view(np.float32)
            elif one.dtype == "F16":
                values = values.astype(np.float32)
            if values.dtype.kind == "f":
                _check_finite(name, values)
            found[name] = values.reshape(one.shape)
    return found


def _check_finite(name: str, values: NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        raise Misfit(f"tensor {shown(name)} has a value that is not finite")
    if values.dtype.itemsize > 4 and values.size and np.abs(values).max() > np.finfo(np.float32).max:
        raise Misfit(f"tensor {shown(name)} has a value that is not finite as float32")
