"""Tables for the terminal: every number of the record is there, and a dash for what does not exist."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from fedrouter_sim.evaluation import Cell, CellResult, Scores
from fedrouter_sim.operations.aggregate import Aggregated
from fedrouter_sim.report.tables import aggregated_table, confusion_table, number, scores_table, size, summary_table
from fedrouter_sim.run_folder import Run


def text_of(table: Table) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def row(text: str, start: str) -> str:
    """Return the one line of a table whose first cell starts so."""
    [line] = [line for line in text.splitlines() if line.strip(" │┃").startswith(start)]
    return line


def scores(rouge1: float, exact_match: float | None = None) -> Scores:
    return Scores(samples=4, rouge1=rouge1, rouge2=0.2, rouge_l=0.3, exact_match=exact_match, loss=1.5)


RESULT = CellResult(
    cell=Cell("all", "global"),
    mean=scores(0.625, 0.75),
    worst_client=3,
    per_client={0: scores(0.9), 3: scores(0.111)},
    per_task={"sum": scores(0.444, 0.75), "title": scores(0.555)},
    routing_accuracy=0.875,
    confusion={"sum": {"task_0": 31}, "title": {"task_1": 17, "task_2": 2}},
    answers=(),
)


@pytest.mark.parametrize(("value", "expected"), [(None, "-"), (0.12345, "0.123"), (0.0, "0.000"), (2, "2.000")])
def test_number(value: float | None, expected: str) -> None:
    assert number(value) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536 * 1024, "1.5 MiB"), (5 * 1024**4, "5120.0 GiB")],
)
def test_size(count: int, expected: str) -> None:
    assert size(count) == expected


def test_summary_table(finished_run: Path) -> None:
    summary = Run(finished_run).summary | {"rouge1": 0.123, "rouge1_per_cell": {"own-local": 0.321, "all-none": 0.5}}
    text = text_of(summary_table(summary))
    assert "fedrouter, split dual, 4 clients, seed 1" in text
    assert "0.123" in row(text, "ROUGE-1, all tasks")
    assert "0.321" in row(text, "ROUGE-1 in cell own-local")
    assert "all-none" not in text  # it has a row of its own
    assert "1.000" in row(text, "Routing accuracy")
    assert "35.2 KiB / 35.1 KiB" in row(text, "Sent up / down")
    assert " 32 " in row(text, "Optimizer steps")
    for task in ("opinion", "reverse", "sum", "title"):
        assert "(bare backbone 0.000)" in row(text, task)


def test_summary_table_of_what_does_not_exist(finished_run: Path) -> None:
    summary: dict[str, Any] = Run(finished_run).summary
    nothing = dict.fromkeys(key for key in summary if key.startswith(("rouge1", "ari", "nmi", "routing")))
    text = text_of(summary_table(summary | nothing))
    assert row(text, "ROUGE-1, all tasks").split()[-2] == "-"
    assert " - / - " in row(text, "ARI of local / global")


def test_scores_table() -> None:
    text = text_of(scores_table([RESULT]))
    assert all(value in row(text, "all-global") for value in ("all clients", "0.625", "0.750", "0.875", "1.500"))
    assert "0.111" in row(text, "worst: client 3")
    assert "0.444" in row(text, "sum")
    assert " - " in row(text, "title")  # no exact match


def test_confusion_table() -> None:
    text = text_of(confusion_table(RESULT))
    assert "cell all-global" in text
    assert [word for word in row(text, "sum").split() if word.isdigit()] == ["31", "0", "0"]
    assert [word for word in row(text, "title").split() if word.isdigit()] == ["0", "17", "2"]


def test_aggregated_table() -> None:
    done = Aggregated(Path("out"), 7, [3, 0], {"task_1": "task_2"}, {})
    text = text_of(aggregated_table(done))
    assert "Updates of round 7" in text
    assert "3" in row(text, "task_0")
    assert "task_2" in row(text, "task_1")
