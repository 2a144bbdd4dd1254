"""The picture of when which task trained."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from run_folders import write

from fedrouter_sim.clustering.linking import link
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.report.timeline import timeline_figure
from fedrouter_sim.runs.births import Asleep, Birth
from fedrouter_sim.runs.discovery import Discovery, TaskFound
from fedrouter_sim.runs.reader import Run

RunMaker = Callable[..., Path]
FOUND = Discovery("both", link(np.eye(2, dtype=np.float32), 0.5), (TaskFound(3, 1, {0: 3}, None, 0.2),) * 2, Traffic())
ROUNDS = [
    {"round": number, "losses": dict.fromkeys(["task_0", "task_2"] if number > 2 else ["task_0", "task_1"], 1.0)}
    for number in (1, 2, 3, 4)
]


@pytest.fixture
def run_of(make_run: RunMaker, tmp_path: Path) -> Callable[[Discovery], Run]:
    """Return a function that makes a run of four rounds and three tasks with a discovery."""

    def make(found: Discovery) -> Run:
        folder = make_run(tmp_path / "run", rounds=ROUNDS, truth={"task_2": {"a_$x$": 9}})
        pools = [{"name": f"task_{task}", "answer_tokens": 3} for task in range(3)]
        write(folder / "pools.json", {"pools": pools, "longest_answer": 3})
        found.save(folder)
        return Run(folder)

    return make


def test_fields_are_filled_where_a_task_trained(run_of: Callable[[Discovery], Run]) -> None:
    run = run_of(replace(FOUND, births=(Birth("task_2", 3, 20, (0, 1)),), sleeping=(Asleep("task_1", 3),)))
    drawing = timeline_figure(run)
    assert drawing is not None
    assert "Born later: task_2 in round 3." in drawing.alt and "Asleep: task_1 since round 3." in drawing.alt
    texts = {"".join(element.itertext()).strip() for element in ElementTree.fromstring(drawing.svg).iter()}
    assert {"task_0", "task_1", "task_2 (a_$x$)", "round"} <= texts
    # Four fields of task_0 and of task_1, and two of task_2, which did not exist before: those of rounds 3 and 4 of
    # task_1 are empty.
    colours = [drawing.svg.lower().count(f"fill: {colour}") for colour in ("#0072b2", "#d55e00", "#009e73")]
    assert colours == [4, 2, 2]
    assert drawing.svg == getattr(timeline_figure(run), "svg", None)


def test_without_births_and_sleep_there_is_nothing_to_show(run_of: Callable[[Discovery], Run]) -> None:
    assert timeline_figure(run_of(FOUND)) is None


def test_a_run_that_found_no_tasks_has_none(make_run: RunMaker, tmp_path: Path) -> None:
    assert timeline_figure(Run(make_run(tmp_path / "run", rounds=ROUNDS))) is None
