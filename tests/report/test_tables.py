"""Tables for the terminal: every number of the record is there, and a dash for what does not exist."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from run_folders import SUMMARY

from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.evaluation.scores import BestConstant, Cell, CellResult, LabelTask, SameAnswer, Scores
from fedrouter_sim.evaluation.truth import Agreement
from fedrouter_sim.report.comparison_terminal import claims_table, comparison_table, differences_table, gains_table
from fedrouter_sim.report.tables import (
    aggregated_table,
    confusion_table,
    labels_table,
    number,
    scores_table,
    summary_table,
)
from fedrouter_sim.runs.aggregated import Aggregated
from fedrouter_sim.runs.reader import Run
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


ROUGE, EXACT, LOSS = (find_metric(name) for name in ("rouge1", "exact_match", "loss"))


def scores(rouge1: float, exact_match: float | None = None, loss: float = 1.5, **more: float) -> Scores:
    values = {"rouge1": rouge1, "rouge2": 0.2, "rouge_l": 0.3, "exact_match": exact_match, "loss": loss}
    return Scores(4, values | more)


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


def test_summary_table(finished_run: Path) -> None:
    summary = Run(finished_run).summary
    chosen = {"all-global": {"rouge1": 0.123}, "own-local": {"rouge1": 0.321}, "all-none": {"rouge1": 0.045}}
    text = text_of(summary_table(replace(summary, scores=chosen), ROUGE))
    assert "fedrouter, split dual, 4 clients, seed 1" in text
    assert "0.123" in row(text, "ROUGE-1, all tasks")
    assert "0.321" in row(text, "ROUGE-1 in cell own-local")
    assert "0.045" in row(text, "ROUGE-1 of the bare backbone")
    assert "all-none" not in text  # it has a row of its own
    assert "1.000" in row(text, "Routing accuracy")
    assert "36.8 KiB / 39.3 KiB" in row(text, "Sent up / down")
    assert " 32 " in row(text, "Optimizer steps")
    for task in ("opinion", "reverse", "sum", "title"):
        assert "(bare backbone 0.000, loss " in row(text, task)


def test_summary_table_by_another_metric(finished_run: Path) -> None:
    summary = replace(Run(finished_run).summary, metric="loss")
    text = text_of(summary_table(summary, LOSS))
    assert number(summary.scores["all-global"]["loss"]) in row(text, "loss, all tasks")
    assert number(summary.scores["own-local"]["loss"]) in row(text, "loss in cell own-local")
    assert number(summary.scores["all-none"]["loss"]) in row(text, "loss of the bare backbone")
    for task, of_task in summary.task_scores["all-global"].items():
        bare = summary.task_scores["all-none"][task]["loss"]
        assert f"{number(of_task['loss'])}   (bare backbone {number(bare)})" in row(text, task)
    assert "ROUGE" not in text


def test_summary_table_of_what_does_not_exist(finished_run: Path) -> None:
    summary = Run(finished_run).summary
    nothing = summary.without_scores(Agreement(), 0, None)
    text = text_of(summary_table(nothing, ROUGE))
    assert row(text, "ROUGE-1, all tasks").split()[-2] == "-"
    assert row(text, "ROUGE-1 of the bare backbone").split()[-2] == "-"
    assert " - / - " in row(text, "ARI of local / global")
    none: dict[str, float | None] = {"exact_match": None}
    cells = {"scores": {"all-global": none}, "task_scores": {"all-global": {"sum": none}}, "label_tasks": {}}
    unlabelled = text_of(summary_table(replace(summary, metric="exact_match", **cells), EXACT))
    assert row(unlabelled, "exact match, all tasks").split()[-2] == "-"
    assert "-   (bare backbone -)" in row(unlabelled, "sum")


def test_scores_table() -> None:
    text = text_of(scores_table([RESULT], ROUGE))
    assert all(value in row(text, "all-global") for value in ("all clients", "0.625", "0.750", "0.875", "1.500"))
    assert "0.558" in row(text, "all-global")  # standard deviation of 0.9 and 0.111
    assert "0.111" in row(text, "worst: client 3")
    assert "0.444" in row(text, "sum")
    assert " - " in row(text, "title")  # no exact match


def headings(text: str) -> list[str]:
    """The heads of a table's columns."""
    [line] = [line for line in text.splitlines() if line.strip().startswith("┃")]
    return [head.strip() for head in line.strip(" ┃").split("┃")]


def test_the_metric_that_is_shown_first_stands_first_with_its_spread() -> None:
    plain = [
        "cell",
        "of",
        "samples",
        "ROUGE-1",
        "± clients",
        "ROUGE-2",
        "ROUGE-L",
        "exact match",
        "loss",
        "routing",
        "ECE",
    ]
    assert headings(text_of(scores_table([RESULT], ROUGE))) == plain
    losses = replace(RESULT, per_client={0: scores(0.9, loss=1.0), 3: scores(0.111, loss=2.0)}, worst_client=3)
    text = text_of(scores_table([losses], LOSS))
    assert headings(text)[3:7] == ["loss", "± clients", "ROUGE-1", "ROUGE-2"]
    assert "0.707" in row(text, "all-global") and "2.000" in row(text, "worst: client 3")
    exact = text_of(scores_table([RESULT], EXACT))
    assert headings(exact)[3:5] == ["exact match", "± clients"]
    assert [field.strip() for field in row(exact, "all-global").split("│")][4:6] == ["0.750", "-"]


class Own(Metric):
    """A metric of the user's, whose title looks like markup."""

    name, title = "own", "F1 [macro]"

    def measure(self, sample: Answered) -> float:
        return 0.0


def test_a_metric_of_the_users_stands_first_beside_the_shipped_ones() -> None:
    one = scores(0.5, own=0.25)
    text = text_of(scores_table([replace(RESULT, mean=one, per_client={3: one}, per_task={"sum": one})], Own()))
    assert headings(text)[4:] == ["± clients", "ROUGE-1", "ROUGE-2", "ROUGE-L", "exact match", "loss", "routing", "ECE"]
    assert "0.250" in row(text, "all-global") and "0.250" in row(text, "sum")


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    odd = replace(RESULT, per_task={"[x]": scores(0.5)}, confusion={"[/INST]": {"[b]pool": 2}})
    assert "[x]" in text_of(scores_table([odd], ROUGE))
    assert all(name in text_of(confusion_table(odd)) for name in ("[/INST]", "[b]pool"))


def test_the_title_of_a_metric_is_shown_as_it_is(finished_run: Path) -> None:
    one = scores(0.5, own=0.25)
    result = replace(RESULT, mean=one, per_client={3: one}, per_task={"sum": one})
    assert headings(text_of(scores_table([result], Own())))[3] == "F1 [macro]"
    assert "F1 [macro], all tasks" in text_of(summary_table(replace(SUMMARY, metric="own"), Own()))
    assert "F1 [macro], mean over clients" in " ".join(text_of(comparison_table(compare([], Own()))).split())


SCORE = Score("fedavg", "dual", 1, "own", 0.5, 0.1, 0.4, {0: 0.5}, {}, "same")
COST = Cost(10, 2000, 1024, 1024)


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


def test_a_comparison_by_another_metric_says_so_and_less_may_be_better() -> None:
    runs = [entry("fedavg", 1, 0.5), entry("ours", 1, 0.25)]
    by_loss = compare(runs, LOSS)
    assert text_of(comparison_table(by_loss)).startswith("loss, mean over clients; mean over seeds")
    gains = text_of(gains_table(by_loss, "fedavg"))
    assert "ratio of loss, above 1 is better" in " ".join(gains.split()) and "2.000" in row(gains, "ours")
    assert "0.500" in row(text_of(gains_table(compare(runs, ROUGE), "fedavg")), "ours")


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
    done = Aggregated(Path("out"), 7, [3, 0], {"task_1": "task_2"}, SUMMARY, "mean", {}, [])
    text = text_of(aggregated_table(done))
    assert "Updates of round 7" in text
    assert "3" in row(text, "task_0")
    assert "task_2" in row(text, "task_1")


LABELS = LabelTask(
    2,
    BestConstant("yes", {"rouge1": 0.6, "exact_match": 0.6, "balanced_accuracy": 0.5, "macro_f1": 0.375}),
    [SameAnswer("task_1", "[no]", 14, 14)],
)


def test_tasks_with_labels_stand_beside_the_best_constant_and_a_constant_adapter_is_flagged() -> None:
    values = {"rouge1": 0.4, "exact_match": 0.401, "balanced_accuracy": 0.501, "macro_f1": 0.287, "loss": 1.5}
    cell = {"all-global": {"sum": LABELS, "": LabelTask(3)}}
    summary = replace(
        SUMMARY,
        cell="all-global",
        scores={"all-global": values},
        task_scores={"all-global": {"sum": values}},
        label_tasks=cell,
    )
    text = text_of(summary_table(summary, ROUGE))
    assert "0.401 / 0.501 / 0.287   (all 'yes': 0.600 / 0.500 / 0.375)" in row(
        text, "Accuracy / balanced / macro-F1, sum"
    )
    assert "task_1: '[no]' to 14 of 14 samples" in row(text, "always the same answer")
    assert "0.401 / 0.501 / 0.287 " in row(text, "Accuracy / balanced / macro-F1, all rows")
    assert "loss 1.500" in row(text, "ROUGE-1 in cell all-global")
    many = LabelTask(2, None, [SameAnswer(f"client_{n}", "no", 9, 9) for n in range(6)])
    text = text_of(summary_table(replace(summary, label_tasks={"own-global": {"sum": many}}), ROUGE))
    assert text.count("always the same answer, sum in own-global") == 5
    assert "client_0: 'no' to 9 of 9 samples" in text
    assert "client_3" in text and "client_4" not in text and "and 2 adapters more" in text
    shown = text_of(labels_table([replace(RESULT, label_tasks={"sum": LABELS})]))
    assert "all 'yes': 0.600" in shown and "[no]" in shown
