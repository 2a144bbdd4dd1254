"""A run in which a task appears in round 5 and another is held by nobody any more, from the rows to the page."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.operations.train import Trained, train
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.report.tables import summary_table
from fedrouter_sim.runs.births import Asleep, Birth
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]


@pytest.fixture(scope="module")
def trained(births_config: ConfigMaker, backbone: Any, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(births_config(), tmp_path_factory.mktemp("births") / "run", backbone=backbone)


def test_a_born_task_trains_from_its_round_on_and_one_of_nobody_no_more(trained: Trained) -> None:
    trains = [sorted(record["losses"]) for record in Run(trained.folder).rounds()]
    assert trains == [["task_0", "task_1"]] * 4 + [["task_0", "task_2"]] * 2


def test_the_run_says_what_became_of_its_tasks(trained: Trained) -> None:
    run = Run(trained.folder)
    assert run.discovery is not None and run.router is not None
    assert run.discovery.births == (Birth("task_2", 5, 48, (1,)),)
    assert run.discovery.sleeping == (Asleep("task_1", 5),)
    assert len(run.discovery.tasks) == 2 and [pool.name for pool in run.pools] == ["task_0", "task_1", "task_2"]
    assert (run.summary.tasks_found, run.summary.tasks_born) == (3, 1) and len(run.router.centroids) == 3
    assert "task_2 was born in round 5, of 48 rows of 1 client" in trained.notes
    cells = [list(column.cells) for column in summary_table(run.summary, run.metric).columns]
    told = dict(zip(*cells, strict=True))
    assert (told["Tasks found"], told["  born after the drift"]) == ("3", "1")


def test_test_samples_of_all_three_go_to_their_adapters(trained: Trained) -> None:
    assert trained.summary.routing_accuracy == 1
    answers = (trained.folder / "eval" / "all-global.jsonl").read_text(encoding="utf-8").splitlines()
    went = {(one["task"], one["pool"]) for one in map(json.loads, answers)}
    assert went <= {("say", "task_0"), ("sum", "task_1"), ("sing", "task_2")} and len(went) > 1


def test_the_page_has_the_timeline(trained: Trained) -> None:
    page = write_run_report(Run(trained.folder)).read_text(encoding="utf-8")
    assert 'id="figure-timeline"' in page and "task_1 sleeps since round 5" in page


def test_the_same_seed_leaves_the_same_bytes(
    trained: Trained, births_config: ConfigMaker, backbone: Any, tmp_path: Path,
    trained_bytes: Callable[[Path], dict[str, bytes]],
) -> None:  # fmt: skip
    again = train(births_config(), tmp_path / "again", backbone=backbone)
    assert trained_bytes(again.folder) == trained_bytes(trained.folder)
    for name in ("discovery.json", "clients.safetensors"):
        assert (again.folder / name).read_bytes() == (trained.folder / name).read_bytes()
