"""The tables of a comparison: for the page, as Markdown and as CSV."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from statistics import fmean

from fedrouter_sim.evaluation.metrics import LOSS
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.machine import size
from fedrouter_sim.partition.test_data import ALL, DRIFT, HELD_OUT, OWN
from fedrouter_sim.report.comparison_terminal import power_text
from fedrouter_sim.report.page import Entry, Grid
from fedrouter_sim.report.tables import estimate_text, number
from fedrouter_sim.showing import plain
from fedrouter_sim.studies.comparison import NOT_SEPARABLE, Comparison, Judged, Score
from fedrouter_sim.studies.gains import Estimate
from fedrouter_sim.studies.resampling import OverSamples

_LISTED = 4  # names of runs in a line

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
    over = {split: {m: comparison.over_samples(m, split, data) for m in comparison.methods()} for split in splits}
    known = any(found for of_split in over.values() for found in of_split.values())
    intervals = "95% intervals [over seeds] and (over test samples)" if known else "95% interval"
    caption = f"{comparison.metric.title}, mean over seeds with {intervals}; best in bold, of those with all seeds"
    return _grid(caption, columns, comparison.metric, over=over)


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
    by = "" if comparison.metric.name != LOSS else ", by loss"
    caption = f"The worst client, and the standard deviation over clients{by}"
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
    """Return what we measured of a claim, its bar and metric where they are not the usual ones, what it would take
    where it is not separable, and what token loss says."""
    claim = judged.claim
    told = [judged.missing if judged.gain is None else f"Ours: {_measured(judged)}."]
    if judged.gain is not None:
        told += [f"Bar: {claim.least:g} times."] * (claim.least != 1)
        told += [f"Judged by {claim.metric}."] * bool(claim.metric)
    if power := power_text(judged):
        told.append(f"To tell it from the bar would take {power}.")
    if (loss := judged.by_loss) is not None and loss.gain is not None:
        bar = f", against a bar of {loss.claim.least:g}" * (loss.claim.least != claim.least)
        told.append(f"By loss: {_measured(loss)}, {loss.verdict}{bar}.")
    return " ".join(told)


def _measured(judged: Judged) -> str:
    if judged.gain is None:
        return "not measured"
    ratio, over = judged.gain.ratio, judged.gain.over_samples
    seeds = f"{ratio.seeds} seeds" if ratio.seeds > 1 else "1 seed, so no interval"
    interval = "" if ratio.low is None else f"95% interval {number(ratio.low)} to {number(ratio.high)}, "
    drawn = f"; {number(over.low)} to {number(over.high)} over {over.samples:,} test samples" if over else ""
    if over and judged.verdict != NOT_SEPARABLE and over.low <= judged.claim.least <= over.high:
        drawn += ", which has the bar within"
    return f"{number(ratio.mean)} times ({interval}{seeds}{drawn})"


def comparison_markdown(comparison: Comparison, judged: Sequence[Judged]) -> str:
    """Return the score tables with intervals, the claims as a list, and what was spent, as GitHub Markdown."""
    parts = [
        f"### {_escaped(title_of(data))}\n\n"
        + "\n\n".join(_markdown(grid(view, data)) for grid in (score_grid, spread_grid) for view in comparison.views)
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
    loss = _by_loss(comparison)
    of_loss = [LOSS, *(f"{LOSS}_{what}" for what in ("worst", "spread")), *(f"{LOSS}/{t}" for t in tasks)]
    writer.writerow(
        [
            *("split", "method", "seed", "test_data", name, "worst", "spread", *(f"{name}/{t}" for t in tasks)),
            *(of_loss if loss else ()),
            *costs,
        ]
    )
    for entry in comparison.entries:
        for score in entry.scores:
            writer.writerow(
                [
                    *(score.split, score.method, score.seed, score.test_data, score.mean, score.worst, score.spread),
                    *(score.per_task.get(task, "") for task in tasks),
                    *(_loss_fields(loss.get(_key(score)), tasks) if loss else ()),
                    *(getattr(entry.cost, name) for name in costs),
                ]
            )
    return file.getvalue()


def clients_csv(comparison: Comparison) -> str:
    """Return a line per run, cell and client."""
    loss = _by_loss(comparison)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ("split", "method", "seed", "test_data", "client", comparison.metric.name, *([LOSS] if loss else []))
    )
    for score in comparison.scores:
        for client, value in sorted(score.per_client.items()):
            beside = loss.get(_key(score)) if loss else None
            more = [beside.per_client.get(client, "") if beside else ""] if loss else []
            writer.writerow((*_key(score), client, value, *more))
    return file.getvalue()


_Key = tuple[str, str, int, str]


def _key(score: Score) -> _Key:
    return score.split, score.method, score.seed, score.test_data


def _by_loss(comparison: Comparison) -> dict[_Key, Score]:
    """Return the losses that stand beside scores; none where there are none, or scores are losses themselves."""
    return {_key(score): score for score in comparison.by_loss.scores} if comparison.by_loss else {}


def _loss_fields(score: Score | None, tasks: Sequence[str]) -> list[float | str]:
    if score is None:
        return [""] * (3 + len(tasks))
    return [score.mean, score.worst, score.spread, *(score.per_task.get(task, "") for task in tasks)]


def _splits(comparison: Comparison, data: str) -> list[str]:
    return [split for split, found in comparison.cells() if found == data]


def _grid(
    caption: str,
    columns: dict[str, dict[str, Estimate | None]],
    metric: Metric,
    folded: bool = False,
    mark: bool = True,
    over: dict[str, dict[str, OverSamples | None]] | None = None,
) -> Grid:
    """Lay out column -> method -> estimate; methods without any are left out."""
    # Means over fewer seeds are no match for the others of their column.
    all_seeds = {
        name: max((estimate.seeds for estimate in column.values() if estimate), default=0)
        for name, column in columns.items()
    }
    best: dict[str, str] = {}
    for name, column in columns.items():
        means = [estimate.mean for estimate in column.values() if estimate and estimate.seeds == all_seeds[name]]
        best[name] = number(metric.best(means)) if means else ""
    methods = dict.fromkeys(m for column in columns.values() for m in column)

    def entry(name: str, method: str) -> Entry:
        estimate = columns[name][method]
        text = estimate_text(estimate, over=over[name][method] if over else None)
        if estimate is None or estimate.seeds < all_seeds[name]:
            return Entry(text if estimate is None else f"{text} ({estimate.seeds} seed{'s' * (estimate.seeds != 1)})")
        return Entry(text, mark and number(estimate.mean) == best[name])

    rows = [
        [Entry(method), *(entry(name, method) for name in columns)]
        for method in methods
        if any(column[method] for column in columns.values())
    ]
    return Grid(caption, ("Method", *columns), rows, folded)


def _in_cell(text: str) -> str:
    """Return a number with its interval, or a word, as it may stand in a field: brackets stay as they are."""
    return re.sub(r"([\\`<>|])", r"\\\1", plain(" ".join(text.split())))


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", plain(" ".join(text.split())))


def run_notes(comparison: Comparison) -> list[str]:
    """Return what the runs had to say at their ends, each note once, behind the names of those that have it."""
    found: dict[str, list[str]] = {}
    for entry in comparison.entries:
        for note in entry.notes:
            found.setdefault(note, []).append(entry.folder.name)
    return [f"{listed(names)}: {note}" for note, names in found.items()]


def listed(names: Sequence[str]) -> str:
    """Return some names in a line, the first ones of many."""
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
