"""Tensors of strangers: the header before anything is allocated, and every value before it is used."""

import json
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

from fedrouter_sim import tensors
from fedrouter_sim.errors import UserError
from fedrouter_sim.tensors import Tensors, read_header


def with_header(path: Path, header: Any, body: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + body)
    return path


def entry(dtype: str, shape: list[int], end: int, begin: int = 0) -> dict[str, Any]:
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}}


def test_it_reads_what_safetensors_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kinds = (np.float64, np.float32, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_)
    given = {f"{np.dtype(kind)}": rng.integers(0, 2, (3, 2)).astype(kind) for kind in kinds}
    given |= {"empty": np.empty((0, 4), dtype=np.float32), "one": np.array(2.5)}
    save_numpy(given, tmp_path / "x.safetensors")
    found, wanted = Tensors(tmp_path / "x.safetensors", "mend it"), load_file(tmp_path / "x.safetensors")
    assert list(found) == list(wanted) and len(found) == len(given)
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    values = torch.tensor([1.5, -2.25, 0.0])
    save_file({"b": values.bfloat16(), "h": values.half()}, tmp_path / "x.safetensors")
    found = Tensors(tmp_path / "x.safetensors", "mend it")
    for name in ("b", "h"):
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], values.numpy())


@pytest.mark.parametrize(
    ("header", "body", "length", "said"),
    [
        (b"{}", b"", 2**64 - 1, "header is longer than the file"),
        (b"{}", b"", 2**40, "header is longer than the file"),
        (b"", b"", None, "header is longer than the file, or none"),
        (b"[" * 100_000, b"", None, "nested more than 60 deep"),
        (entry("F32", [2**62, 4], 16), b"\0" * 16, None, "does not lie in the file"),
        (entry("F32", [2**63], 4), b"\0" * 4, None, "64 bits"),
        (entry("F32", [-1], 4), b"\0" * 4, None, "at least 0"),
        (entry("F32", [1], 2**40), b"\0" * 4, None, "does not lie in the file"),
        (entry("F32", [1], 8, 4), b"\0" * 8, None, "does not lie in the file"),
        (entry("F32", [1], 4), b"\0" * 8, None, "bytes that belong to no tensor"),
        (entry("C64", [1], 8), b"\0" * 8, None, "of type C64, which is not read"),
        (entry("F8_E4M3", [4], 4), b"\0" * 4, None, "of type F8_E4M3, which nothing is computed in"),
        ({"x": 3}, b"", None, "tensor 'x' must be an object"),
        ([], b"", None, "its header must be"),
    ],
)
def test_a_header_that_is_no_header_is_refused_before_anything_is_allocated(
    header: Any, body: bytes, length: int | None, said: str, tmp_path: Path
) -> None:
    path = with_header(tmp_path / "x.safetensors", header, body, length)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=said) as refused:
        Tensors(path, "mend it")
    assert str(refused.value).startswith(str(path)) and str(refused.value).endswith("mend it")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


def test_a_sparse_file_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "_memory", lambda: 2**30)
    with (tmp_path / "x.safetensors").open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(ValueError, match="at most"):
        read_header(tmp_path / "x.safetensors")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_what_is_not_finite_also_as_float32_is_refused(value: float, tmp_path: Path) -> None:
    save_numpy({"x": np.array([0.0, value])}, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="tensor 'x' has a value that is not finite"):
        Tensors(tmp_path / "x.safetensors", "mend it")


def test_tensors_are_taken_by_type_shape_and_range(tmp_path: Path) -> None:
    given = {
        "f": np.ones((2, 3), dtype=np.float32), "far": np.full(2, 1e20, dtype=np.float32),
        "n": np.array([1, 2]), "u": np.array([2**64 - 1], dtype=np.uint64), "v": np.array([3], dtype=np.uint64),
    }  # fmt: skip
    save_numpy(given, tmp_path / "x.safetensors")
    found = Tensors(tmp_path / "x.safetensors", "mend it")
    assert found.floats("f", (2, None)).shape == (2, 3)
    assert found.whole("v", (1,)).dtype == np.int64
    for take, said in (
        (lambda: found.floats("f", (3, None)), r"f must be floats of shape \(3, any\)"),
        (lambda: found.floats("n", (2,)), "n must be floats"),
        (lambda: found.floats("far", (2,)), r"far has a value above 1e\+15"),
        (lambda: found.whole("f", (2, 3)), "f must be whole numbers"),
        (lambda: found.whole("n", (2,), most=1), "n must be of at least 0 and at most 1"),
        (lambda: found.whole("u", (1,)), "u must be of at least 0"),  # never -1
        (lambda: found["gone"], "it has no tensor 'gone'"),
    ):
        with pytest.raises(UserError, match=said):
            take()
