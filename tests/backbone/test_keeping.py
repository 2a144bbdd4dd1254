"""Rows that are kept: in memory first, then in a file without a name, then not at all."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedrouter_sim.backbone import keeping
from fedrouter_sim.backbone.keeping import KeptRows, Made, RowKey


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path))
    return tmp_path / "rows"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(keeping, "say", lines.append)
    return lines


def row(number: int, dtype: torch.dtype = torch.float32) -> tuple[RowKey, Made]:
    """Return a row of 3 tokens, 48 numbers, with the states of one layer."""
    numbers = torch.arange(48).to(dtype) + number
    hidden, keys, values = numbers[:12].view(3, 4), numbers[12:30].view(2, 3, 3), numbers[30:].view(2, 3, 3)
    return ((number,), True, 0), Made(hidden, ((keys, values),))


def same(one: Made, two: Made) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.tensors, two.tensors, strict=True)) and len(one.states) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_as_they_were_from_memory_and_from_disk(dtype: torch.dtype, cache: Path) -> None:
    size = row(0, dtype)[1].nbytes
    rows = KeptRows(most_bytes=2 * size, most_on_disk=3 * size)
    for number in range(7):
        rows.keep(*row(number, dtype))
    assert rows.counts == (2, 3) and list(cache.iterdir()) == []  # the file has no name
    for number in range(7):
        key, made = row(number, dtype)
        found = rows.get(key)
        assert (found is None) == (number > 4) and (found is None or same(found, made))
        assert rows.get((key[0], False, 0)) is None and rows.get((*key[:2], 1)) is None
    rows.forget()
    assert rows.counts == (0, 0) and rows.get(row(0)[0]) is None
    rows.keep(*row(9, dtype))
    assert rows.counts == (1, 0)


def test_without_a_folder_only_memory_is_used(cache: Path, said: list[str]) -> None:
    cache.write_text("no folder", encoding="utf-8")
    rows = KeptRows(most_bytes=row(0)[1].nbytes)
    for number in range(3):
        rows.keep(*row(number))
    assert rows.counts == (1, 0)
    [line] = said
    assert "File exists" in line and "FEDROUTER_SIM_CACHE" in line


def test_no_more_than_half_of_a_disk_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    size = row(0)[1].nbytes
    monkeypatch.setattr(keeping.shutil, "disk_usage", lambda folder: SimpleNamespace(free=4 * size))
    rows = KeptRows(most_bytes=0)
    for number in range(5):
        rows.keep(*row(number))
    assert rows.counts == (0, 2)


def test_a_full_disk_ends_the_keeping_and_loses_nothing(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    write = os.pwrite

    def full(descriptor: int, data: Any, offset: int) -> int:
        if offset >= row(0)[1].nbytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[:50], offset)  # parts of it, as a system may

    monkeypatch.setattr(keeping.os, "pwrite", full)
    rows = KeptRows(most_bytes=0)
    for number in range(4):
        rows.keep(*row(number))
    key, made = row(0)
    found = rows.get(key)
    assert rows.counts == (0, 1) and found is not None and same(found, made)
    assert len(said) == 1 and "No space left" in said[0]


def test_what_cannot_be_read_is_computed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = KeptRows(most_bytes=0)
    rows.keep(*row(0))
    monkeypatch.setattr(keeping.os, "pread", lambda *given: b"")
    assert rows.get(row(0)[0]) is None
