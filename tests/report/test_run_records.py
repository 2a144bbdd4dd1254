"""What the report of a run shows: its cells by one metric, the main one, and the samples."""

from collections.abc import Callable
from pathlib import Path

import pytest
from run_folders import answered, read, write

from fedrouter_sim.errors import UserError
from fedrouter_sim.report.run_records import cell_scores, main_cell, pool_label, read_samples, round_gaps
from fedrouter_sim.runs.reader import Run

RunMaker = Callable[..., Path]
ANSWERS = [
    answered("sum", "task_0", 0.75, exact_match=1.0),
    answered("sum", "task_0", 0.25, client=1, exact_match=0.0),
    answered("title", "task_1", 0.5, client=2),
]


@pytest.mark.parametrize(
    ("metric", "mean", "worst", "clients", "tasks"),
    [
        ("rouge1", 0.5, 1, {0: 0.75, 1: 0.25, 2: 0.5}, {"sum": 0.5, "title": 0.5}),
        ("loss", 0.5, 1, {0: 0.25, 1: 0.75, 2: 0.5}, {"sum": 0.5, "title": 0.5}),
        ("exact_match", 0.5, 1, {0: 1.0, 1: 0.0}, {"sum": 0.5}),
    ],
)
def test_a_cell_has_the_scores_of_the_runs_metric_where_there_are_any(
    make_run: RunMaker, tmp_path: Path, metric: str, mean: float, worst: int, clients: dict[int, float],
    tasks: dict[str, float],
) -> None:  # fmt: skip
    cells = {"all-global": ANSWERS, "own-global": ANSWERS[:2], "all-none": ANSWERS[2:]}
    found = cell_scores(Run(make_run(tmp_path / "run", cells, settings={"metric": metric})))
    without = metric == "exact_match"  # the only answer of that cell has none
    assert [cell.name for cell in found] == ["own-global", "all-global", *["all-none"] * (not without)]
    [one] = [cell for cell in found if cell.name == "all-global"]
    assert (one.mean, one.worst, one.per_client, one.per_task) == (mean, worst, clients, tasks)
    assert one.stored.confusion == {"sum": {"task_0": 2}, "title": {"task_1": 1}}


def test_the_main_cell_is_on_all_tasks_under_the_methods_own_routing_else_on_its_own_data(
    make_run: RunMaker, tmp_path: Path
) -> None:
    def main(*names: str) -> str | None:
        folder = make_run(tmp_path / "-".join(names or ("none",)), dict.fromkeys(names, ANSWERS))
        cell = main_cell(cell_scores(Run(folder)))
        return cell.name if cell else None

    assert main("own-global", "all-global", "all-local", "all-none") == "all-global"
    assert main("own-fixed", "all-fixed") == "all-fixed"
    assert main("own-local", "own-global") == "own-global"
    assert main("all-none", "all-local") is None
    assert main() is None


def test_samples_come_back_and_damaged_ones_are_refused(run_copy: Path) -> None:
    run = Run(run_copy)
    samples = read_samples(run)
    assert samples is not None and len(samples["points"]) == 80 and len(samples["centroids"]) == 4
    path = run_copy / "samples.json"
    record = read(path)
    for damaged in ({}, record | {"explained": [1]}, record | {"points": [{"x": 1}]}, record | {"centroids": [{}]}):
        write(path, damaged)
        with pytest.raises(UserError, match=r"samples\.json: damaged .*; delete it, or train the run anew$"):
            read_samples(run)
    path.unlink()
    assert read_samples(run) is None


def test_a_pool_is_called_with_its_majority_task(make_run: RunMaker, tmp_path: Path) -> None:
    run = Run(make_run(tmp_path / "run", truth={"task_0": {"sum": 3, "title": 1}, "sum": {"sum": 2}, "empty": {}}))
    assert [pool_label(run, pool) for pool in ("task_0", "sum", "empty", None)] == [
        "task_0 (sum)", "sum", "empty", "bare backbone"
    ]  # fmt: skip
    assert pool_label(Run(make_run(tmp_path / "bare")), "task_0") == "task_0"


def test_gaps_are_of_pools_that_averaged_several_updates_and_of_runs_that_measured_them() -> None:
    rounds = [
        {"round": 1, "losses": {}},  # of an older run
        {"round": 2, "losses": {}, "gaps": {"one": 0.25, "alone": 0.0, "nothing": None}},
        {"round": 3, "losses": {}, "gaps": {"alone": 0.0}},
        {"round": 4, "losses": {}, "gaps": {"one": 0.5, "two": 0.125}},
    ]
    assert round_gaps(rounds) == {2: {"one": 0.25}, 4: {"one": 0.5, "two": 0.125}}
    assert round_gaps([]) == {}
