"""What this machine gives a process: cores, memory, disk; and what a run records of it."""

import ctypes
import os
import platform
import resource
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

_LIBRARIES = ("torch", "transformers", "peft", "faiss-cpu", "numpy", "safetensors", "datasets", "rouge-score")
_STATUS = Path("/proc/self/status")
_MEMINFO = Path("/proc/meminfo")
_OWN_GROUPS = Path("/proc/self/cgroup")
_GROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Main memory, in bytes."""

    total: int
    available: int | None  # without pushing others out; None where the system does not say


def usable_cores() -> int:
    """Return how many cores this process may use: those it may run on, within its container's share of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups():
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, max(1, ceil(int(quota) / int(period))))
    return cores


def memory() -> Memory | None:
    """Return the memory of the machine, or of the container where that has less; None where it is not known."""
    found = _meminfo() or _pages()
    if found is None:
        return None
    total, available = found.total, found.available
    for group in _groups():
        limit, used = _text(group / "memory.max"), _text(group / "memory.current")
        if limit.isdecimal() and used.isdecimal():
            total = min(total, int(limit))
            # Files that were read and are not in use give way to programs.
            counts = dict(line.partition(" ")[::2] for line in _text(group / "memory.stat").splitlines())
            idle = counts.get("inactive_file", "0")
            left = max(0, int(limit) - max(0, int(used) - int(idle)))
            available = left if available is None else min(available, left)
    return Memory(total, available)


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far."""
    # Linux counts in ru_maxrss what the parent held when it started this process.
    if own := [line for line in _text(_STATUS).splitlines() if line.startswith("VmHWM:")]:
        return int(own[0].split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def give_back_memory() -> None:
    """Give memory that is free within this process back to the system, where its C library can.

    What is kept of many clients lies between large tensors that are gone, and glibc gives nothing back that lies below
    something in use: with 300 clients of 12 rows that was 90 of 685 MiB.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def machine_record() -> dict[str, Any]:
    """Return the versions of the libraries that decide results, of Python, the machine, and torch's threads."""
    import torch  # slow to import

    return {
        "libraries": {name: version(name) for name in _LIBRARIES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }


def free_disk(folder: Path) -> int:
    """Return the free bytes where a folder is or would be made.

    Raises:
        OSError: the place cannot be looked at.
    """
    return shutil.disk_usage(_existing(folder)).free


def is_writable(folder: Path) -> bool:
    """Say whether files can be put into a folder, or into one that is made in its place."""
    place = _existing(folder)
    return place.is_dir() and os.access(place, os.W_OK | os.X_OK)


def folder_size(folder: Path) -> int:
    """Return the bytes of all files below a folder; links count as links, and what cannot be read as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += Path(place, name).lstat().st_size
    return total


def size(count: int) -> str:
    """Return a number of bytes for a person."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f} {unit}" if unit != "B" else f"{count} B"


def _meminfo() -> Memory | None:
    """Return what Linux says of its memory."""
    kibibytes = {
        name: int(words[0])
        for name, _, rest in (line.partition(":") for line in _text(_MEMINFO).splitlines())
        if (words := rest.split()) and words[0].isdecimal()
    }
    if "MemTotal" not in kibibytes:
        return None
    available = kibibytes.get("MemAvailable")
    return Memory(kibibytes["MemTotal"] * 1024, None if available is None else available * 1024)


def _pages() -> Memory | None:
    try:
        return Memory(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None)
    except (ValueError, OSError):  # the system has no such names
        return None


def _groups() -> list[Path]:
    """Return the folders of this process's control groups (cgroup v2), from its own to the outermost."""
    for line in _text(_OWN_GROUPS).splitlines():
        if line.startswith("0::/"):
            own = _GROUPS / line.removeprefix("0::/")
            return [group for group in (own, *own.parents) if group.is_relative_to(_GROUPS)]
    return []


def _text(file: Path) -> str:
    """Return what one of the system's files says; empty where there is none."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _existing(folder: Path) -> Path:
    """Return a path, or the nearest above it that is there, and not hidden from this user."""
    return next((path for path in (folder, *folder.absolute().parents) if os.access(path, os.F_OK)), folder)
