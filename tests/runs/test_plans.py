"""Plans on disk: of every method, what is read back is what was written."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.methods import METHODS
from fedrouter_sim.runs.plans import load_plan, save_plan

Simulator = Callable[..., Any]


def check_same(one: Any, two: Any) -> None:
    """Compare plans, and what is in them, with arrays to the bit."""
    assert type(one) is type(two)
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            check_same(getattr(one, field.name), getattr(two, field.name))
    elif isinstance(one, np.ndarray):
        assert one.dtype == two.dtype and np.array_equal(one, two)
    elif isinstance(one, dict):
        assert sorted(one) == sorted(two)
        for key in one:
            check_same(one[key], two[key])
    elif isinstance(one, tuple):
        assert len(one) == len(two)
        for mine, other in zip(one, two, strict=True):
            check_same(mine, other)
    else:
        assert one == two


@pytest.mark.parametrize("name", METHODS.names)
def test_every_plan_of_every_method_comes_back_equal(run_method: Simulator, name: str, tmp_path: Path) -> None:
    small = {"rounds": 2, "warmup_rounds": 1, "local_steps": 2, "drift_at": 2, "drift_to": "single"}
    stages = run_method(name, **small).outcome.stages
    assert stages
    for number, stage in enumerate(stages):
        folder = tmp_path / str(number)
        save_plan(folder, stage.plan)
        check_same(load_plan(folder), stage.plan)
        first = {path.name: path.read_bytes() for path in folder.iterdir()}
        save_plan(folder, load_plan(folder))
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == first


def test_a_plan_of_an_earlier_version_goes_by_updates(tmp_path: Path) -> None:
    plan = Plan(until=2, more_follows=True)
    save_plan(tmp_path, plan)
    record = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    del record["by_updates"]
    (tmp_path / "plan.json").write_text(json.dumps(record), encoding="utf-8")
    check_same(load_plan(tmp_path), plan)


def test_a_missing_or_damaged_plan_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"plan\.json: not readable"):
        load_plan(tmp_path)
    save_plan(tmp_path, Plan())
    (tmp_path / "plan.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match=r"plan\.safetensors: damaged"):
        load_plan(tmp_path)
