"""The scores of a cell on disk: what is written comes back, in the order of a report."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from run_folders import read, write

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics.metric import Answered
from fedrouter_sim.evaluation.scores import Answer, Cell, CellResult, Scores
from fedrouter_sim.runs.cells import StoredCell, folder_of_data, read_answers, read_cells, write_cell
from fedrouter_sim.runs.digests import file_digest
from fedrouter_sim.runs.reader import Run


def scores(rouge1: float, exact_match: float | None = None) -> Scores:
    return Scores(2, {"rouge1": rouge1, "exact_match": exact_match, "loss": 1.5})


def answer(client: int, task: str | None, pool: str | None, **more: Any) -> Answer:
    sample = Answered("réf", "ans\nwer", False, 3.0, 2)
    return Answer(client, task, "ask", pool, sample, {"rouge1": 0.25, "exact_match": None, "loss": 1.5}, **more)


RESULT = CellResult(
    cell=Cell("all", "global"),
    mean=scores(0.5, 1.0),
    worst_client=3,
    per_client={0: scores(0.75, 1.0), 3: scores(0.25)},
    per_task={"sum": scores(0.5)},
    routing_accuracy=None,
    confusion={"sum": {"task_0": 1, "backbone": 2}},
    samples_sha256="abc",
    answers=(answer(0, "sum", "task_0", margin=0.5, weights={"task_0": 0.75, "task_1": 0.25}), answer(3, None, None)),
)


def test_what_is_written_of_a_cell_comes_back(tmp_path: Path) -> None:
    path = write_cell(tmp_path, RESULT, seed=7, data="mine")
    assert path == tmp_path / "eval" / "all-global.json"
    assert {"seed": 7, "data": "mine", "worst_client": 3, "routing_accuracy": None}.items() <= read(path).items()
    [cell] = read_cells(tmp_path)
    assert cell == StoredCell(
        test_data="all",
        routing="global",
        mean={"samples": 2.0, "rouge1": 0.5, "exact_match": 1.0, "loss": 1.5},
        per_client={
            0: {"samples": 2.0, "rouge1": 0.75, "exact_match": 1.0, "loss": 1.5},
            3: {"samples": 2.0, "rouge1": 0.25, "exact_match": None, "loss": 1.5},
        },
        per_task={"sum": {"samples": 2.0, "rouge1": 0.5, "exact_match": None, "loss": 1.5}},
        confusion={"sum": {"task_0": 1, "backbone": 2}},
        samples="abc",
        rouge_words="unicode-2",
        answers_sha256=file_digest(path.with_suffix(".jsonl")),
        data="mine",
    )
    assert cell.name == "all-global"


def test_the_single_answers_come_back_with_their_scores(tmp_path: Path) -> None:
    write_cell(tmp_path, RESULT)
    [cell] = read_cells(tmp_path)
    first, second = read_answers(tmp_path, cell)
    assert first == {
        "client": 0, "task": "sum", "instruction": "ask", "reference": "réf", "pool": "task_0", "answer": "ans\nwer",
        "rouge1": 0.25, "exact_match": None, "loss": 3.0, "tokens": 2, "margin": 0.5,
        "confidence": None, "weights": {"task_0": 0.75, "task_1": 0.25}, "unseen": None,
    }  # fmt: skip
    assert (second["task"], second["pool"], second["margin"], second["weights"]) == (None, None, None, {})
    assert "réf" in (tmp_path / "eval" / "all-global.jsonl").read_text(encoding="utf-8")


def test_a_cell_by_another_router_has_files_of_its_own_after_the_runs(tmp_path: Path) -> None:
    for router in ("soft", None):
        write_cell(tmp_path, replace(RESULT, cell=Cell("all", "global", router)))
    own, other = read_cells(tmp_path)
    assert (own.name, own.router, other.name, other.router) == ("all-global", None, "all-global@soft", "soft")
    record = read(tmp_path / "eval" / "all-global.json")
    del record["cell"]["router"], record["routing_ece"]  # as older versions wrote it
    (tmp_path / "eval" / "all-global.json").write_text(json.dumps(record), encoding="utf-8")
    assert read_cells(tmp_path)[0] == own


def test_cells_come_in_the_order_of_a_report_and_unknown_ones_last(tmp_path: Path) -> None:
    assert read_cells(tmp_path) == []
    for test_data, routings in {
        "given": "global", "all": "none global oracle", "own": "none zigzag fixed local", "held-out": "fixed",
        "drift": "local",
    }.items():  # fmt: skip
        for routing in routings.split():
            write_cell(tmp_path, replace(RESULT, cell=Cell(test_data, routing)))
    assert [cell.name for cell in read_cells(tmp_path)] == [
        "own-local", "own-fixed", "own-none", "own-zigzag", "all-global", "all-oracle", "all-none", "drift-local",
        "held-out-fixed", "given-global",
    ]  # fmt: skip


def test_a_finished_run_has_its_cells(finished_run: Path) -> None:
    cells = Run(finished_run).cells()
    assert [cell.name for cell in cells] == [
        "own-global", "own-local", "all-global", "all-local", "all-oracle", "all-none"
    ]  # fmt: skip
    for cell in cells:
        answers = list(read_answers(finished_run, cell))
        assert len(answers) == cell.mean["samples"]
        assert sum(sum(row.values()) for row in cell.confusion.values()) == len(answers)
        assert {a["client"] for a in answers} == set(cell.per_client)


def change(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: one for key, one in value.items() if key not in keys}


@pytest.mark.parametrize("key", ["cell", "mean", "per_client", "per_task", "confusion", "samples_sha256"])
def test_a_cell_that_lacks_a_part_is_refused_by_its_file(tmp_path: Path, key: str) -> None:
    path = write_cell(tmp_path, RESULT)
    for damaged in (change(read(path), key), read(path) | {key: 3}):
        if key == "samples_sha256" and key in damaged:
            continue
        write(path, damaged)
        with pytest.raises(UserError, match=r"all-global\.json: damaged .*; evaluate or train the run anew$") as caught:
            read_cells(tmp_path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_what_is_no_cell_is_refused(tmp_path: Path, text: str) -> None:
    write_cell(tmp_path, RESULT).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"all-global\.json: .*; evaluate or train the run anew$"):
        read_cells(tmp_path)


@pytest.mark.parametrize("text", ["{\n", "[1]\n", '{"client": 3}\n', None])
def test_damaged_answers_are_refused(tmp_path: Path, text: str | None) -> None:
    path = write_cell(tmp_path, RESULT).with_suffix(".jsonl")
    [cell] = read_cells(tmp_path)
    if text is None:
        path.unlink()
    else:
        path.write_text(json.dumps(RESULT.answers[0].to_dict()) + "\n" + text, encoding="utf-8")
        cell = replace(cell, answers_sha256=None)  # of a run from before that was written down
    with pytest.raises(UserError, match=r"all-global\.jsonl: damaged .*; evaluate or train the run anew$"):
        list(read_answers(tmp_path, cell))


def test_answers_that_are_older_than_their_scores_are_noticed(run_copy: Path) -> None:
    """As a process leaves them that dies between the two writes."""
    cell = next(cell for cell in read_cells(run_copy) if cell.name == "all-global")
    before = list(read_answers(run_copy, cell))
    path = run_copy / "eval" / "all-global.jsonl"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"client": 1', '"client": 2', 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"all-global\.jsonl: is not of the scores beside it .*; evaluate or train"):
        list(read_answers(run_copy, cell))
    path.write_text(text, encoding="utf-8")
    assert list(read_answers(run_copy, cell)) == before
    assert list(read_answers(run_copy, replace(cell, answers_sha256=None))) == before


def test_test_data_of_the_users_have_a_folder_each(tmp_path: Path) -> None:
    given = replace(RESULT, cell=Cell("given", "global"))

    def written(data: str, under: str = "") -> str:
        return str(write_cell(tmp_path, given, f"{folder_of_data(tmp_path, data)}/{under}", data=data).parent.name)

    assert [written(data) for data in ("multitask", "org/name:a", "/x/mine.csv")] == [
        "data-multitask", "data-org_name_a", "data-mine.csv"
    ]  # fmt: skip
    other = written("/y/mine.csv")
    assert other.startswith("data-mine.csv-") and [written("/y/mine.csv"), written("/x/mine.csv")] == [
        other, "data-mine.csv"
    ]  # fmt: skip
    assert len(written("/x/" + "n" * 200)) == len("data-") + 80
    assert written("/x/few.csv", "most-5") == "most-5"  # fewer of them are no cell of the run's
    assert folder_of_data(tmp_path, "/y/few.csv") != folder_of_data(tmp_path, "/x/few.csv")
    write_cell(tmp_path, given, "data-\x1b[2J", data="odd")  # of a folder from somebody else
    assert [cell.name for cell in read_cells(tmp_path)] == [
        f"{name}/given-global"
        for name in ("data-mine.csv", other, "data-multitask", "data-" + "n" * 80, "data-org_name_a")
    ]
