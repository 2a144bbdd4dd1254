"""What the machine gives a process, as the system's files say it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from fedrouter_sim import machine
from fedrouter_sim.machine import (
    Memory,
    folder_size,
    free_disk,
    give_back_memory,
    is_writable,
    machine_record,
    memory,
    peak_memory_bytes,
    size,
    usable_cores,
)

MIB = 2**20


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a test writes what the system says: `meminfo`, `own` (control groups) and `groups/`."""
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    (tmp_path / "groups" / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "own").write_text("4:memory:/old\n0::/outer/inner\n")
    (tmp_path / "meminfo").write_text(
        f"MemTotal: {1024 * 1024} kB\nMemAvailable: {512 * 1024} kB\nHugePages_Total: 0\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (5 * 1024**4, "5120.0 GiB")],
)
def test_size(count: int, expected: str) -> None:
    assert size(count) == expected


def cores(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(count)), raising=False)


def test_cores_are_those_that_the_process_may_run_on(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores(3, monkeypatch)
    assert usable_cores() == 3


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        ("max 100000", "max 100000", 8),
        ("300000 100000", "max 100000", 3),
        ("300000 100000", "150000 100000", 2),
        ("max 100000", "1000 100000", 1),
        ("1600000 100000", "max 100000", 8),
        ("nonsense", "", 8),
    ],
)
def test_a_container_that_grants_less_time_counts_as_fewer_cores(
    outer: str, inner: str, expected: int, system: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(8, monkeypatch)
    (system / "groups" / "outer" / "cpu.max").write_text(outer + "\n")
    (system / "groups" / "outer" / "inner" / "cpu.max").write_text(inner + "\n")
    assert usable_cores() == expected


def test_memory_is_the_machines_where_no_container_has_less(system: Path) -> None:
    assert memory() == Memory(1024 * MIB, 512 * MIB)


def test_a_containers_limit_is_the_memory_and_what_it_keeps_of_idle_files_is_available(system: Path) -> None:
    group = system / "groups" / "outer"
    (group / "memory.max").write_text(f"{300 * MIB}\n")
    (group / "memory.current").write_text(f"{200 * MIB}\n")
    assert memory() == Memory(300 * MIB, 100 * MIB)
    (group / "memory.stat").write_text(f"anon {150 * MIB}\ninactive_file {50 * MIB}\n")
    assert memory() == Memory(300 * MIB, 150 * MIB)
    (group / "memory.max").write_text("max\n")
    assert memory() == Memory(1024 * MIB, 512 * MIB)


def test_memory_elsewhere_than_on_linux_is_known_by_its_pages(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (system / "meminfo").unlink()
    (system / "own").unlink()
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert memory() == Memory(40960, None)

    def unknown(name: str) -> int:
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", unknown)
    assert memory() is None


def test_the_size_of_a_folder_is_that_of_its_files_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 5000)
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "one").write_bytes(b"x" * 10)
    (folder / "a" / "b" / "two").write_bytes(b"x" * 200)
    (folder / "link").symlink_to("../large")
    (folder / "a" / "folder").symlink_to(folder)
    assert folder_size(folder) == 210 + len("../large")
    assert folder_size(tmp_path / "none") == 0


def test_free_disk_of_a_folder_that_is_not_there_is_that_of_the_place(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "not" / "yet") > 0


def test_a_place_is_writable_if_a_folder_can_be_made_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    assert is_writable(tmp_path) and is_writable(tmp_path / "not" / "yet")
    assert not is_writable(tmp_path / "file") and not is_writable(tmp_path / "file" / "models")
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode == os.F_OK and allowed(path, mode))
    assert not is_writable(tmp_path)


def test_peak_memory_is_in_bytes() -> None:
    assert 10_000_000 < peak_memory_bytes() < 100_000_000_000


def test_peak_memory_is_not_the_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t 999999 kB\nVmHWM:\t   20480 kB\n")
    monkeypatch.setattr(machine, "_STATUS", status)
    assert peak_memory_bytes() == 20480 * 1024
    status.unlink()  # elsewhere than on Linux
    assert peak_memory_bytes() > 10_000_000


def test_the_record_names_what_decides_results() -> None:
    record = machine_record()
    assert record["python"] == platform.python_version() and record["machine"] == platform.machine()
    assert record["threads"] == torch.get_num_threads()
    names = ("torch", "transformers", "peft", "faiss-cpu", "numpy", "safetensors", "datasets", "rouge-score")
    assert record["libraries"] == {name: version(name) for name in names}


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others give memory back in their own way")
def test_memory_below_something_in_use_is_given_back() -> None:
    kept, dropped = [], []
    for _ in range(2000):  # too small to lie in a mapping of its own each
        dropped.append(bytearray(b"x" * 60_000))
        kept.append(bytearray(2_000))
    full = resident()
    dropped.clear()
    give_back_memory()
    assert resident() < full - 60 * MIB
    assert len(kept) == 2000


def test_a_library_that_gives_nothing_back_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: object())
    give_back_memory()


def resident() -> int:
    """Return how much of this process is in main memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
