"""The tables of a comparison: for the page, as Markdown and as CSV."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from statistics import fmean

from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.machine import size
from fedrouter_sim.partition.test_data import ALL, DRIFT, HELD_OUT, OWN
from fedrouter_sim.report.page import Entry, Grid
from fedrouter_sim.report.tables import estimate_text, number
from fedrouter_sim.showing import plain
from fedrouter_sim.studies.comparison import Comparison, Estimate, Judged, Score

TITLES = {
    OWN: "Interference: each client's own data",
    ALL: "Generalisation: all tasks",
    DRIFT: "Drift: the tasks a client moved to",
    HELD_OUT: "Held out: a task that no client trains",
}


def scored_data(comparison: Comparison) -> list[str]:
    """Return the test data that were scored: own and all first, others in order of appearance."""
    found = list(dict.fromkeys(data for _, data in comparison.cells()))
    return [data for data in TITLES if data in found] + [data for data in found if data not in TITLES]


def title_of(data: str) -> str:
    """Return what scores on some test data tell."""
    return TITLES.get(data, f"Test data {data}")


def score_grid(comparison: Comparison, data: str) -> Grid:
    """Return methods by splits: mean over seeds with its interval; the best of each split marked."""
    splits = _splits(comparison, data)
    columns = {split: {m: comparison.estimate(m, split, data) for m in comparison.methods()} for split in splits}
    caption = f"{comparison.metric.title}, mean over seeds with 95% interval; best in bold, of those with all seeds"
    return _grid(caption, columns, comparison.metric)


def task_grids(comparison: Comparison, data: str) -> list[Grid]:
    """Return, for every split, methods by tasks."""
    grids = []
    for split in _splits(comparison, data):
        scores = [score for score in comparison.scores if (score.split, score.test_data) == (split, data)]
        tasks = sorted({task for score in scores for task in score.per_task})
        columns = {task: {m: comparison.estimate(m, split, data, task) for m in comparison.methods()} for task in tasks}
        if tasks:
            grids.append(
                _grid(f"{comparison.metric.title} by task, split {split}", columns, comparison.metric, folded=True)
            )
    return grids


def spread_grid(comparison: Comparison, data: str) -> Grid:
    """Return methods by splits: score of the worst client, and standard deviation over clients."""
    values: list[tuple[str, Callable[[Score], float]]] = [
        ("worst client", lambda score: score.worst),
        ("spread over clients", lambda score: score.spread),
    ]
    columns: dict[str, dict[str, Estimate | None]] = {}
    for split in _splits(comparison, data):
        for name, value in values:
            found = {m: [value(s) for s in comparison.select(m, split, data)] for m in comparison.methods()}
            columns[f"{split}: {name}"] = {m: Estimate.of(own) if own else None for m, own in found.items()}
    caption = "The worst client, and the standard deviation over clients"
    return _grid(caption, columns, comparison.metric, folded=True, mark=False)


def cost_grid(comparison: Comparison) -> Grid:
    """Return what each method spent on each split, means over seeds."""
    heads = ("Method", "Split", "Seeds", "Optimiser steps", "Tokens trained", "Sent up", "Sent down")
    rows = []
    for method, split in dict.fromkeys((entry.method, entry.split) for entry in comparison.entries):
        costs = [entry.cost for entry in comparison.entries if (entry.method, entry.split) == (method, split)]
        steps, tokens = fmean(c.optimizer_steps for c in costs), fmean(c.tokens_trained for c in costs)
        up, down = fmean(c.bytes_up for c in costs), fmean(c.bytes_down for c in costs)
        fields = (method, split, str(len(costs)), f"{steps:,.0f}", f"{tokens:,.0f}", size(round(up)), size(round(down)))
        rows.append([Entry(field) for field in fields])
    return Grid("What each method spent in a run, mean over seeds", heads, rows)


def ratio_text(judged: Judged) -> str:
    """Return what we measured of a claim, in a sentence."""
    if judged.gain is None:
        return "No seed has both runs with scores above 0."
    ratio = judged.gain.ratio
    seeds = f"{ratio.seeds} seeds" if ratio.seeds > 1 else "1 seed, so no interval"
    interval = "" if ratio.low is None else f"95% interval {number(ratio.low)} to {number(ratio.high)}, "
    return f"Ours: {number(ratio.mean)} times ({interval}{seeds})."


def comparison_markdown(comparison: Comparison, judged: Sequence[Judged]) -> str:
    """Return the score tables with intervals, the claims as a list, and what was spent, as GitHub Markdown."""
    parts = [
        f"### {_escaped(title_of(data))}\n\n"
        + "\n\n".join(map(_markdown, (score_grid(comparison, data), spread_grid(comparison, data))))
        for data in scored_data(comparison)
    ]
    if judged:
        lines = ["### Claims", ""]
        for one in judged:
            paper = f" Paper: {_escaped(one.claim.paper.rstrip('.'))}." if one.claim.paper else ""
            lines.append(f"- {_escaped(one.claim.says.rstrip('.'))}: **{one.verdict}**. {ratio_text(one)}{paper}")
        parts.append("\n".join(lines))
    parts.append("### Cost\n\n" + _markdown(cost_grid(comparison)))
    return "\n\n".join(parts) + "\n"


def _markdown(grid: Grid) -> str:
    lines = [
        f"{_escaped(grid.caption)}.",
        "",
        "| " + " | ".join(map(_escaped, grid.heads)) + " |",
        "|" + "---|" * len(grid.heads),
    ]
    for name, *entries in grid.rows:
        fields = [f"**{text}**" if entry.best else text for entry in entries for text in [_in_cell(entry.text)]]
        lines.append("| " + " | ".join([_escaped(name.text), *fields]) + " |")
    return "\n".join(lines)


def comparison_csv(comparison: Comparison) -> str:
    """Return a line per run and cell: scores over clients and per task, and what the run spent."""
    tasks = sorted({task for score in comparison.scores for task in score.per_task})
    costs = ("optimizer_steps", "tokens_trained", "bytes_up", "bytes_down")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    name = comparison.metric.name
    writer.writerow(
        ["split", "method", "seed", "test_data", name, "worst", "spread", *(f"{name}/{t}" for t in tasks), *costs]
    )
    for entry in comparison.entries:
        for score in entry.scores:
            writer.writerow(
                [
                    *(score.split, score.method, score.seed, score.test_data, score.mean, score.worst, score.spread),
                    *(score.per_task.get(task, "") for task in tasks),
                    *(getattr(entry.cost, name) for name in costs),
                ]
            )
    return file.getvalue()


def clients_csv(comparison: Comparison) -> str:
    """Return a line per run, cell and client."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("split", "method", "seed", "test_data", "client", comparison.metric.name))
    for score in comparison.scores:
        for client, value in sorted(score.per_client.items()):
            writer.writerow((score.split, score.method, score.seed, score.test_data, client, value))
    return file.getvalue()


def _splits(comparison: Comparison, data: str) -> list[str]:
    return [split for split, found in comparison.cells() if found == data]


def _grid(
    caption: str,
    columns: dict[str, dict[str, Estimate | None]],
    metric: Metric,
    folded: bool = False,
    mark: bool = True,
) -> Grid:
    """Lay out column -> method -> estimate; methods without any are left out."""
    found = [estimate for column in columns.values() for estimate in column.values() if estimate]
    all_seeds = max((estimate.seeds for estimate in found), default=0)
    # Means over fewer seeds are no match for the others.
    best: dict[str, str] = {}
    for name, column in columns.items():
        means = [estimate.mean for estimate in column.values() if estimate and estimate.seeds == all_seeds]
        best[name] = number(metric.best(means)) if means else ""
    methods = dict.fromkeys(m for column in columns.values() for m in column)

    def entry(name: str, estimate: Estimate | None) -> Entry:
        text = estimate_text(estimate)
        if estimate is None or estimate.seeds < all_seeds:
            return Entry(text if estimate is None else f"{text} ({estimate.seeds} seeds)")
        return Entry(text, mark and number(estimate.mean) == best[name])

    rows = [
        [Entry(method), *(entry(name, column[method]) for name, column in columns.items())]
        for method in methods
        if any(column[method] for column in columns.values())
    ]
    return Grid(caption, ("Method", *columns), rows, folded)


def _in_cell(text: str) -> str:
    """Return a number with its interval, or a word, as it may stand in a field: brackets stay as they are."""
    return re.sub(r"([\\`<>|])", r"\\\1", plain(" ".join(text.split())))


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", plain(" ".join(text.split())))
