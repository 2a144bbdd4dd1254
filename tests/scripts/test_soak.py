"""Killing and resuming, in the small: `make soak` does it fifty times."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import same_bytes
import soak

from fedrouter_sim.config import RunConfig

TINY = {"local_steps": 1, "clients": 2, "tasks": 2, "eval_every": 0, "examples_per_client": 8}


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_killed_runs_end_as_undisturbed_ones(
    micro_config: Callable[..., RunConfig], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = {name: vars(micro_config(method=name, **TINY)) for name in ("fedrouter", "feddpa")}
    assert soak.soak(tmp_path, 3, 3, runs) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all(line.endswith("the same") for line in lines[:3])
    kills = int(lines[-1].split(" kills")[0].split()[-1])
    assert kills >= 3


def test_a_run_that_ends_otherwise_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "Backbone", lambda config: None)
    monkeypatch.setattr(soak, "counted", lambda *given: {"step": 1, "access": 1, "write": 1})
    monkeypatch.setattr(soak, "kill_and_resume", lambda config, out, *given, **more: out.mkdir(parents=True) or [-9, 0])
    monkeypatch.setattr(soak, "found", lambda run: {"adapter": run.name})
    monkeypatch.setattr(soak, "leftovers", lambda out: [])
    assert soak.soak(tmp_path, 2, 0, {"base": {"method": "base"}}) == 2


def test_every_method_is_killed() -> None:
    assert soak.SOAKED.items() > same_bytes.RUNS.items()
