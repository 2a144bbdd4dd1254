"""What --dtype auto goes by: a measured step, once a machine and backbone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fedrouter_sim.backbone import devices, measuring
from fedrouter_sim.backbone.locating import model_digest
from fedrouter_sim.backbone.measuring import MeasuredSteps, measured_steps
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError

CPU = torch.device("cpu")
ConfigMaker = Callable[..., RunConfig]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[torch.dtype]:
    """A machine with bfloat16 and an empty cache, on which a step takes 2 s in float32 and 1 s in bfloat16; the types
    of the steps that were measured."""
    done: list[torch.dtype] = []

    def step(config: RunConfig, folder: Path, dtype: torch.dtype, device: torch.device) -> float:
        done.append(dtype)
        return 2.0 if dtype == torch.float32 else 1.0

    (tmp_path / "cpuinfo").write_text("model name: A 1\nflags : avx512_bf16\n")
    monkeypatch.setattr(devices, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("FEDROUTER_SIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measuring, "_fastest_step", step)
    return done


def kept(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "steps").glob("*.json"))


def test_auto_is_what_was_measured_to_be_faster_and_measured_once(
    measured: list[torch.dtype], micro_config: ConfigMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Backbone(micro_config(dtype="auto"))
    assert first.dtype == "bfloat16" and measured == [torch.float32, torch.bfloat16]
    assert "note: measuring a step" in capsys.readouterr().err
    assert first.record()["measured_step_seconds"] == {"float32": 2.0, "bfloat16": 1.0}
    (file,) = kept(tmp_path)
    assert json.loads(file.read_text())["backbone"] == first.digest
    second = Backbone(micro_config(dtype="auto"))
    assert second.record() == first.record() and len(measured) == 2 and not capsys.readouterr().err


def test_a_named_type_is_taken_without_measuring(measured: list[torch.dtype], micro_config: ConfigMaker) -> None:
    found = Backbone(micro_config(dtype="float32"))
    assert found.dtype == "float32" and not measured and "measured_step_seconds" not in found.record()


def test_another_machine_or_a_damaged_file_is_measured_anew(
    measured: list[torch.dtype], micro_config: ConfigMaker, micro_model: Path, tmp_path: Path
) -> None:
    given = micro_config(), micro_model, model_digest(micro_model), CPU
    steps = measured_steps(*given)
    for damaged in ("", "{}", '{"seconds": {"float32": 1}}', '{"seconds": {"float32": -1, "bfloat16": 1}}'):
        (file,) = kept(tmp_path)
        file.write_text(damaged)
        assert measured_steps(*given) == steps
    assert len(measured) == 10
    (tmp_path / "cpuinfo").write_text("model name: A 2\nflags : avx512_bf16\n")
    measured_steps(*given)
    assert len(measured) == 12 and len(kept(tmp_path)) == 2


def test_a_cache_that_cannot_be_written_keeps_nothing(
    measured: list[torch.dtype], micro_config: ConfigMaker, micro_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert measured_steps(micro_config(), micro_model, "digest", CPU).faster == torch.bfloat16


def test_the_first_that_is_done_is_believed_by_all(
    measured: list[torch.dtype],
    micro_config: ConfigMaker,
    micro_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = micro_config(), micro_model, "digest", CPU
    step = measuring._fastest_step

    def late(config: RunConfig, folder: Path, dtype: torch.dtype, device: torch.device) -> float:
        if dtype == torch.bfloat16:  # meanwhile another process is done
            monkeypatch.setattr(measuring, "_fastest_step", step)
            measured_steps(*given)
        return 1.0 if dtype == torch.float32 else 9.0

    monkeypatch.setattr(measuring, "_fastest_step", late)
    assert measured_steps(*given).faster == torch.bfloat16


def test_equal_steps_are_float32s() -> None:
    assert MeasuredSteps({"float32": 1.0, "bfloat16": 1.0}).faster == torch.float32


def test_a_step_is_measured_and_leaves_no_trace(
    micro_config: ConfigMaker, micro_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, small in (("_ROWS", 1), ("_PROMPT", 4), ("_RESPONSE", 2), ("_REPEATS", 1)):
        monkeypatch.setattr(measuring, name, small)
    before = torch.get_rng_state()
    for dtype in measuring.TYPES:
        assert measuring._fastest_step(micro_config(), micro_model, dtype, CPU) > 0
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(UserError, match="--lora-targets 'absent'"):
        measuring._fastest_step(micro_config(lora_targets=("absent",)), micro_model, torch.float32, CPU)
