"""A study's finished runs in one file: compared as from their folders, on any machine, and nothing else accepted."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.naming import portable
from fedrouter_sim.studies.plan import PlannedRun, Study
from fedrouter_sim.studies.reading import open_comparison
from fedrouter_sim.studies.records import Record, Records

ROUGE = find_metric("rouge1")
ConfigMaker = Callable[..., RunConfig]


@pytest.fixture
def two(finished_run: Path, tmp_path: Path) -> list[Path]:
    """Two finished runs; the second is made up: another method that answers a little worse."""
    folders = [tmp_path / "runs" / name for name in ("ours", "theirs")]
    for folder in folders:
        shutil.copytree(finished_run, folder)
    config = folders[1] / "config.toml"
    config.write_text(config.read_text(encoding="utf-8").replace('method = "fedrouter"', 'method = "fedavg"'))
    summary = json.loads((folders[1] / "summary.json").read_text(encoding="utf-8"))
    (folders[1] / "summary.json").write_text(json.dumps(summary | {"method": "fedavg"}), encoding="utf-8")
    for path in (folders[1] / "eval").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["mean"]["rouge1"] *= 0.9
        path.write_text(json.dumps(record), encoding="utf-8")
    return folders


def test_runs_are_compared_as_from_their_folders(two: list[Path], tmp_path: Path) -> None:
    records = Records(tmp_path / "records.jsonl")
    for folder in two:
        records.add(Record.of(Run(folder), ("macro_f1",)))
    again = Records(tmp_path / "records.jsonl")
    by_folder = open_comparison(two, also=["macro_f1"])
    for found in (one.compare(["ours", "theirs"], ROUGE, ["macro_f1"]) for one in (records, again)):
        assert found.scores == by_folder.scores and found.metric.name == by_folder.metric.name == "rouge1"
        assert {name: view.scores for name, view in found.beside.items()} == {
            name: view.scores for name, view in by_folder.beside.items()
        }
        ours, folder = (view.by_loss.gain("fedrouter", "fedavg", "dual", "all") for view in (found, by_folder))
        assert ours.log_ratio == folder.log_ratio and ours.over_samples.samples == folder.over_samples.samples
        assert ours.over_samples.low == pytest.approx(folder.over_samples.low, rel=1e-4)
        assert [e.cost for e in found.entries] == [e.cost for e in by_folder.entries]
        assert [e.rows for e in found.entries] == [e.rows for e in by_folder.entries]
    one, other = records.compare(["ours"], ROUGE).scores, again.compare(["ours"], ROUGE).scores
    assert all(
        a.draws is not None and b.draws is not None and (a.draws == b.draws).all()
        for a, b in zip(one, other, strict=True)
    )


def test_a_line_has_no_text_of_the_rows_and_no_place_of_this_machine(finished_run: Path) -> None:
    line = Record.of(Run(finished_run)).to_line()
    answers = [json.loads(row) for row in (finished_run / "eval" / "all-global.jsonl").read_text().splitlines()]
    assert answers and not any(one["instruction"] in line for one in answers)
    assert str(finished_run.parent) not in line and line.count("\n") == 1


def test_what_is_left_out_and_what_is_not_there_is_not_compared(two: list[Path], tmp_path: Path) -> None:
    records = Records(tmp_path / "records.jsonl")
    assert records.compare(["ours"], ROUGE).entries == ()
    records.add(Record.of(Run(two[0])))
    assert [entry.folder for entry in records.compare(["theirs", "ours"], ROUGE).entries] == [Path("ours")]


def test_lines_that_another_process_added_stay(two: list[Path], tmp_path: Path) -> None:
    ours, theirs = Records(tmp_path / "records.jsonl"), Records(tmp_path / "records.jsonl")
    ours.add(Record.of(Run(two[0])))
    theirs.add(Record.of(Run(two[1])))
    assert list(Records(tmp_path / "records.jsonl").runs) == ["ours", "theirs"]


def test_a_recorded_run_is_done_wherever_its_data_lies(finished_run: Path, micro_config: ConfigMaker) -> None:
    planned = PlannedRun("dual", micro_config())
    origin = Record.of(Run(finished_run)).origin
    study, nowhere = Study("", (planned,), ()), Path("nowhere")
    assert study.pending(nowhere) == [planned] and study.pending(nowhere, {"dual": origin}) == []
    unread = replace(
        origin, settings=origin.settings | {"fedprox_mu": 0.5, "cut": 0.9}
    )  # with which the run is the same
    assert planned.config.method != "fedprox" and study.pending(nowhere, {"dual": unread}) == []
    for wrong, words in (
        (
            replace(origin, settings=origin.settings | {"lr": 0.5}),
            "dual of the records: was run with lr = 0.5, the plan",
        ),
        (replace(origin, data="0"), "dual of the records: the data has changed since it was run"),
        (replace(origin, backbone="0"), "dual of the records: the backbone has changed"),
    ):
        with pytest.raises(UserError, match=words):
            study.pending(nowhere, {"dual": wrong})


def test_settings_are_without_the_folders_of_this_machine(micro_config: ConfigMaker, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    found = portable(micro_config(data=str(tmp_path / "rows.jsonl")).to_dict())
    assert found["data"] == "rows.jsonl" and found["lr"] == micro_config().lr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line.replace('"seed": 1', '"seed": "one"'), "line 1 is damaged .*seed must be a whole number"),
        (lambda line: line.replace('"lr":', '"lrr":'), "line 1 is damaged .*lrr"),
        (lambda line: line[:-30], "damaged"),
        (lambda line: re.sub(r'"rows": \{"0": \["\w+", ', '"rows": {"0": [', line), "rows must be as many as values"),
        (
            lambda line: line + line.replace('"wall_seconds": ', '"wall_seconds": 1'),
            "has 'dual-micro' twice, and differently; remove one of the lines",
        ),
        (lambda line: json.dumps(json.loads(line) | {"scores": {}}), "line 1 is damaged .it has no scores"),
        (
            lambda line: re.sub(r'"values": {"0": \[\[[^]]*\]', '"values": {"0": [[1.0, 0]', line, count=1),
            "weight above 0",
        ),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    finished_run: Path, tmp_path: Path, change: Callable[[str], str], words: str
) -> None:
    line = replace(Record.of(Run(finished_run)), name="dual-micro").to_line()
    path = tmp_path / "records.jsonl"
    path.write_text(change(line), encoding="utf-8")
    with pytest.raises(UserError, match=words) as caught:
        Records(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_equal_lines_of_a_run_are_one(finished_run: Path, tmp_path: Path) -> None:
    """As of the files of several machines that are joined."""
    line = Record.of(Run(finished_run)).to_line()
    path = tmp_path / "records.jsonl"
    path.write_text(line + line, encoding="utf-8")
    assert list(Records(path).runs) == [finished_run.name]
