"""What 'auto' means: by the processor's flags, and by what torch finds."""

from pathlib import Path

import pytest
import torch

from fedrouter_sim.backbone import devices
from fedrouter_sim.backbone.devices import check_quantize, dtype_name, processor, resolve_device, resolve_dtype
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx2 fma", torch.float32),
        ("flags\t\t: fpu avx512f avx512_bf16", torch.bfloat16),
        ("flags\t\t: amx_bf16 amx_tile", torch.bfloat16),
        ("Features\t: fp asimd bf16 sve", torch.bfloat16),
        ("flags\t\t: my_bf16x", torch.float32),
        ("model name\t: bf16", torch.float32),
    ],
)
def test_auto_is_measured_where_the_processor_multiplies_bfloat16(
    line: str, expected: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\n{line}\n")
    monkeypatch.setattr(devices, "_CPUINFO", cpuinfo)
    asked: list[int] = []

    def faster() -> torch.dtype:
        asked.append(1)
        return torch.bfloat16

    assert resolve_dtype("auto", CPU, faster) == expected
    assert bool(asked) == (expected == torch.bfloat16)


def refuse() -> torch.dtype:
    raise AssertionError("measured")


def test_auto_is_float32_where_the_processor_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "none")
    assert resolve_dtype("auto", CPU, refuse) == torch.float32 and processor() == ""


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_named_data_type_is_taken_and_nothing_is_measured(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "computes_bfloat16", lambda device: True)
    assert dtype_name(resolve_dtype(name, CPU, refuse)) == name


def test_the_processor_is_known_by_its_name_and_what_it_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor: 0\nmodel name\t: A 1\ncpu MHz: 99\nflags\t: fpu avx\n" * 2)
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    assert processor() == "A 1 fpu avx"


@pytest.mark.parametrize(("there", "auto"), [(True, CUDA), (False, CPU)])
def test_auto_takes_a_card_where_there_is_one(there: bool, auto: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert resolve_device("auto") == auto
    assert resolve_device("cpu") == CPU


def test_cuda_without_a_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda: torch sees no CUDA device"):
        resolve_device("cuda")


def test_four_bits_are_refused_on_the_processor_and_without_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = RunConfig(quantize="4bit")
    with pytest.raises(UserError, match="--quantize 4bit: needs a CUDA device"):
        check_quantize(wanted, CPU)
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"bitsandbytes; pip install 'fedrouter-sim\[4bit\]'"):
        check_quantize(wanted, CUDA)
    check_quantize(RunConfig(), CPU)
