"""What an aggregation reports, and which task an update falls to."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import SUMMARY

from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.runs.aggregated import report, task_of
from fedrouter_sim.runs.averaging import Averaged
from fedrouter_sim.runs.updates import StoredUpdate


def averaged(aggregation: str, **errors: float) -> Averaged:
    return Averaged({}, [3, 0], aggregation, "as it is", {int(task[1:]): error for task, error in errors.items()})


def test_a_report_says_how_and_why_and_what_was_lost() -> None:
    plain = report(Path("out"), 7, averaged("mean"), {"task_1": "task_0"}, SUMMARY, "more")
    assert (plain.folder, plain.round, plain.updates_per_task) == (Path("out"), 7, [3, 0])
    assert (plain.inherited, plain.summary, plain.aggregation) == ({"task_1": "task_0"}, SUMMARY, "mean")
    assert (plain.truncation_errors, plain.notes) == ({}, ["averaged factor by factor: as it is", "more"])
    lossy = report(Path("out"), 7, averaged("product", t0=0.125, t1=0.0), {}, SUMMARY)
    assert lossy.truncation_errors == {"task_0": 0.125, "task_1": 0.0}
    assert lossy.notes == [
        "averaged by their products B A, with truncated SVD: as it is; lost by truncation: task_0 12.50%, task_1 0.00%"
    ]
    assert report(Path("out"), 7, averaged("mine.py:Median"), {}, SUMMARY).notes == [
        "averaged by mine.py:Median: as it is"
    ]


@pytest.mark.parametrize(("sizes", "task"), [([9, 1], 0), ([1, 9], 1), ([5, 5], 0)])
def test_an_update_of_several_clusters_falls_to_the_task_of_most_of_their_rows(
    tmp_path: Path, sizes: list[int], task: int
) -> None:
    points = np.array([[0], [10]], dtype=np.float32)
    archive = Archive((CentroidMessage(4, points, np.array(sizes), np.array([1, 1])),), ((0, 1),))
    update: Any = StoredUpdate(tmp_path, client=4, group=0, round=1, examples=10, clusters=(0, 1))
    assert task_of(update, archive) == task
