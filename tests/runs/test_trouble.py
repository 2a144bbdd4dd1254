"""What is said at the end of a training whose numbers went wrong."""

import json
from collections.abc import Callable
from math import nan
from pathlib import Path
from typing import Any

import pytest
from cheaper import leave_figures_blank
from failing import let_fail

from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.observers import Display, RoundRecord
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.operations.train import train
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.runs.reader import open_run
from fedrouter_sim.runs.trouble import RISEN, troubles_of
from fedrouter_sim.simulation import Stage

PLAIN: Any = Stage(Plan(), None)  # type: ignore[arg-type]


def records(*losses: dict[str, float]) -> list[RoundRecord]:
    return [RoundRecord(number, 0.1, [0], losses=own) for number, own in enumerate(losses, 1)]


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([{"a": 2.1, "b": 2.0}, {"a": 9.0, "b": 9.2}], "from 2.05 in round 1 to 9.10 in"),
        ([{"a": 2.1, "b": 2.0}, {"a": 9.0, "b": 2.1}], ""),  # one of two
        ([{"a": 2.1}, {"a": 2.1 + 0.9 * RISEN}], ""),
        ([{"a": 2.1}, {"a": 9.0}, {"a": 1.9}], ""),  # it came back
        ([{"a": 2.1}], ""),
        ([{}, {}], ""),
        ([], ""),
        ([{"a": 2.1, "b": 2.0}, {"a": 9.0}, {"b": 9.2}], "to 9.10"),  # not all take part in each
        ([{"a": 2.1}, {"b": 9.0, "c": 9.0}], "from 2.10 in round 1"),  # pools that come of it
        ([{"a": 2.1}, {"b": 9.0, "c": 2.5}], ""),
    ],
)
def test_a_loss_that_rose_for_all_pools_is_told_with_advice(losses: list[dict[str, float]], told: str) -> None:
    said = troubles_of([PLAIN], records(*losses))
    assert [told in one and one.endswith("lower --lr or --clip") for one in said] == [True] * bool(told)


def test_rows_that_a_drift_brings_are_compared_with_themselves() -> None:
    after: Any = Stage(Plan(), None, drifted=True, begins=3)  # type: ignore[arg-type]
    assert troubles_of([PLAIN, after], records({"a": 1.0}, {"a": 0.9}, {"a": 5.0}, {"a": 4.0})) == []
    (said,) = troubles_of([PLAIN, after], records({"a": 1.0}, {"a": 0.9}, {"a": 5.0}, {"a": 9.0}))
    assert "from 5.00 in round 3" in said


def test_trainings_that_failed_are_noted_as_they_fail_and_counted(
    micro_config: Callable[..., RunConfig], backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    class Notes(Display):
        def noted(self, text: str) -> None:
            heard.append(text)

    let_fail(monkeypatch, {(1, 1), (0, 2)})
    config = micro_config(method="fedavg", clients=2, local_steps=2, test_examples_per_client=1)
    done = train(config, tmp_path / "run", display=Notes(), backbone=backbone)
    assert [text.partition(":")[0] for text in heard] == ["round 1, client 1", "round 2, client 0"]
    assert any(note.startswith("2 trainings gave a loss or a weight that is not finite") for note in done.notes)
    lines = [json.loads(line) for line in (tmp_path / "run" / "rounds.jsonl").read_text().splitlines()]
    assert [line["failed"] for line in lines] == [{"global": [1]}, {"global": [0]}]
    assert [record["failed"] for record in open_run(tmp_path / "run").rounds()] == [{"global": [1]}, {"global": [0]}]


@pytest.mark.parametrize("metric", ["rouge1", "loss"])
def test_test_samples_whose_loss_is_not_finite_have_none_and_that_is_told(
    micro_config: Callable[..., RunConfig], backbone: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str
) -> None:
    """As of weights that are finite and too large."""
    score = backbone.score
    monkeypatch.setattr(backbone, "score", lambda by, rows: score(by, rows) * (1 if by is None else [nan, 1]))
    config = micro_config(
        method="fedavg", clients=2, rounds=1, local_steps=1, test_examples_per_client=1, eval_every=1, metric=metric
    )
    done = train(config, tmp_path / "run", backbone=backbone)
    (said,) = [note for note in done.notes if "loss" in note]
    assert said == "the loss of test samples is not finite in all-fixed, own-fixed; lower --lr or --clip"
    run = open_run(tmp_path / "run")
    scores = {cell.name: cell.mean["loss"] for cell in run.cells()}
    assert scores["all-fixed"] is None and scores["all-none"] is not None
    leave_figures_blank(monkeypatch)
    assert write_run_report(run).exists()
