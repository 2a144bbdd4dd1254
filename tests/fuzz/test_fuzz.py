"""Mutated files, through every reader: each is read or refused in one line. `make fuzz` tries many more of them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import pytest
import readers
import study_plans
from fuzzing import fuzz

from fedrouter_sim.config import RunConfig
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.plans import save_plan
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.records import Record, Records

CASES = int(os.environ.get("FUZZ_CASES", "300"))
"""Over all readers."""

SEED = int(os.environ.get("FUZZ_SEED", "0"))

SHARES = {
    "run": 0.44, "updates": 0.15, "plan": 0.12, "config": 0.08, "study_plan": 0.08, "records": 0.06, "model": 0.07
}  # fmt: skip


@pytest.fixture(scope="session")
def real(
    micro_config: Callable[..., RunConfig],
    micro_model: Path,
    micro_data: Path,
    run_method: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """A real folder for each reader."""
    folder = tmp_path_factory.mktemp("real")
    small = {"clients": 2, "rounds": 1, "local_steps": 1, "test_examples_per_client": 2}
    run = train(micro_config(tasks="auto", **small), folder / "run").folder
    evaluate(run, routing=["none"], data=str(micro_data))
    raw = train(micro_config(normalize="none", local_clusters=2, **small), folder / "raw").folder
    shutil.copytree(raw / "updates", folder / "updates")
    stages = run_method("fedrouter", **small).outcome.stages
    save_plan(folder / "plan", stages[0].plan)
    for name in ("config", "study_plan", "records"):
        (folder / name).mkdir()
    Records(folder / "records" / "records.jsonl").add(Record.of(Run(run), ("macro_f1",)))
    shutil.copyfile(run / "config.toml", folder / "config" / "config.toml")
    study_plans.written(folder / "study_plan")
    shutil.copytree(micro_model, folder / "model")
    return {name: folder / name for name in SHARES}


@pytest.mark.parametrize("name", SHARES)
def test_mutated_files_are_read_or_refused_in_one_line(name: str, real: dict[str, Path], tmp_path: Path) -> None:
    getattr(readers, f"read_{name}")(real[name])  # as it is, it is read
    cases = round(CASES * SHARES[name])
    before = getrusage(RUSAGE_SELF).ru_maxrss
    found = fuzz(real[name], tmp_path, getattr(readers, f"read_{name}"), cases, SEED)
    print(
        f"{name}: {found.cases} cases, {found.read} read, {found.refused} refused, {sum(found.faults.values())} faults"
    )
    for fault, count in found.faults.most_common():
        print(f"  {count} x {fault} ({found.first[fault]})")
    assert not found.faults
    assert getrusage(RUSAGE_SELF).ru_maxrss - before < 2**20  # KiB: no size that a file claims was allocated
