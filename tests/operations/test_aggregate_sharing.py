"""`aggregate` and what tasks share: as in training, or a note on why not."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from fedrouter_sim.config import RunConfig
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]


def test_factors_of_no_common_basis_are_not_shared_and_it_says_so(run_copy: Path, tmp_path: Path) -> None:
    [note] = [n for n in aggregate(run_copy, tmp_path / "out", aggregation="product").notes if "--sharing" in n]
    assert note.endswith("--aggregation product makes factors that cannot be compared between tasks")


def test_a_run_that_did_not_keep_what_sharing_goes_by_is_averaged_apart_and_says_so(
    run_copy: Path, tmp_path: Path, trained_bytes: BytesOf
) -> None:
    shared = aggregate(run_copy, tmp_path / "shared")
    assert not [note for note in shared.notes if "--sharing" in note]
    (run_copy / "sharing.safetensors").unlink()
    apart = aggregate(run_copy, tmp_path / "apart")
    why = "adapters are each task's own averages, without --sharing affinity: the run did not keep what it goes by"
    assert why in apart.notes
    one, other = trained_bytes(shared.folder), trained_bytes(apart.folder)
    weights = "adapters/task_0/adapter_model.safetensors"
    assert one[weights] != other[weights]


def test_where_the_last_round_shared_nothing_tasks_are_averaged_apart_and_it_says_so(
    run_copy: Path, tmp_path: Path
) -> None:
    path = run_copy / "sharing.safetensors"
    save_file(load_file(path) | {"round": np.array([1])}, path)
    [note] = [note for note in aggregate(run_copy, tmp_path / "out").notes if "--sharing" in note]
    assert "the tasks shared last in round 1, and the updates are of round 2" in note


def test_an_update_of_a_pool_that_did_not_share_leaves_tasks_apart_and_is_named(run_copy: Path, tmp_path: Path) -> None:
    record = next((run_copy / "updates").glob("*/*/update.json"))
    record.write_text(json.dumps(json.loads(record.read_text(encoding="utf-8")) | {"pool": "task_9"}), encoding="utf-8")
    [note] = [note for note in aggregate(run_copy, tmp_path / "out").notes if "--sharing" in note]
    assert note.endswith(f"{record.parent} is of no pool that shared ('task_9')")


def test_the_sharing_of_a_run_of_other_tasks_goes_by_the_options_that_are_written_down(
    micro_config: ConfigMaker, tmp_path: Path, trained_bytes: BytesOf
) -> None:
    trained = train(micro_config(option=("power=0.5",), rounds=1), tmp_path / "run").folder
    two = aggregate(trained, tmp_path / "two", tasks=2).folder
    assert "power=0.5" in Run(two).config.option
    assert trained_bytes(aggregate(two, tmp_path / "same").folder) == trained_bytes(two)
