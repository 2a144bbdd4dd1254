"""Tables for the terminal: every number of the record is there, and a dash for what does not exist."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from fedrouter_sim.evaluation.evaluator import Cell, CellResult, Scores
from fedrouter_sim.operations.aggregate import Aggregated
from fedrouter_sim.report.tables import (
    aggregated_table,
    claims_table,
    comparison_table,
    confusion_table,
    differences_table,
    gains_table,
    number,
    scores_table,
    size,
    summary_table,
)
from fedrouter_sim.runs.run_folder import Run
from fedrouter_sim.studies.comparison import Claim, Cost, Entry, Judged, Score, compare


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
    samples_sha256="",
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
    assert "0.558" in row(text, "all-global")  # standard deviation of 0.9 and 0.111
    assert "0.111" in row(text, "worst: client 3")
    assert "0.444" in row(text, "sum")
    assert " - " in row(text, "title")  # no exact match


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    odd = replace(RESULT, per_task={"[x]": scores(0.5)}, confusion={"[/INST]": {"[b]pool": 2}})
    assert "[x]" in text_of(scores_table([odd]))
    assert all(name in text_of(confusion_table(odd)) for name in ("[/INST]", "[b]pool"))


SCORE = Score("fedavg", "dual", 1, "own", 0.5, 0.1, 0.4, {0: 0.5}, {}, "same")
COST = Cost(10, 2000, 1024, 1024, 1.0)


def entry(method: str, seed: int, mean: float, **settings: Any) -> Entry:
    score = replace(SCORE, method=method, seed=seed, mean=mean)
    return Entry(Path(f"runs/{method}-{seed}"), method, "dual", seed, settings, COST, (score,))


def test_comparison_gains_and_differences() -> None:
    runs = [entry("fedavg", seed, 0.5, lr=0.1) for seed in (1, 2)]
    comparison = compare([*runs, entry("ours", 1, 0.6, lr=0.2), entry("ours", 2, 0.8, lr=0.1)])
    table = text_of(comparison_table(comparison))
    assert "0.700 [-0.571, 1.971]" in row(table, "ours")  # 0.7 +- 12.706 * 0.1
    assert all(cost in row(table, "ours") for cost in ("10", "2,000", "1.0 KiB"))
    assert "1.386" in row(text_of(gains_table(comparison, "fedavg")), "ours")  # sqrt(1.2 * 1.6)
    differences = text_of(differences_table(comparison)).splitlines()
    [odd] = [line for line in differences if "ours-1" in line]
    assert odd.split() == "│ --lr │ 0.2 │ ours-1 │".split()


def test_claims_table() -> None:
    claim = Claim("ours is [better]", "ours", "fedavg", "dual", "own", paper="by 6.1%")
    text = text_of(claims_table([Judged(claim, None, "not separable")]))
    assert all(words in row(text, "ours is [better]") for words in (" - ", "not separable", "by 6.1%"))


def test_confusion_table() -> None:
    text = text_of(confusion_table(RESULT))
    assert "cell all-global" in text
    assert [word for word in row(text, "sum").split() if word.isdigit()] == ["31", "0", "0"]
    assert [word for word in row(text, "title").split() if word.isdigit()] == ["0", "17", "2"]


def test_aggregated_table() -> None:
    done = Aggregated(Path("out"), 7, [3, 0], {"task_1": "task_2"}, {}, "factors", {}, [])
    text = text_of(aggregated_table(done))
    assert "Updates of round 7" in text
    assert "3" in row(text, "task_0")
    assert "task_2" in row(text, "task_1")
