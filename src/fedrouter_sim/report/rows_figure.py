"""The figure of a comparison that shows the score of a task against its training rows."""

import re
from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fedrouter_sim.evaluation.metrics import LOSS
from fedrouter_sim.partition.test_data import ALL
from fedrouter_sim.report.figures import Drawing, Mark, label, legend_beside, panels, svg_of
from fedrouter_sim.report.tables import number
from fedrouter_sim.studies.comparison import Comparison, Entry

MOST_TASKS = 8
"""Tasks with a panel: those whose rows differ most."""

_ROWS_SETTING = "examples_per_client"

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Method -> (training rows of the task, its score), a pair a run, by rows."""


def rows_figure(comparison: Comparison) -> Drawing | None:
    """Draw a panel for each task that had different numbers of training rows in different runs: its score, on the test
    data of all tasks, against them. None where there is no such task."""
    curves = task_curves(comparison)
    if not curves:
        return None
    metric = comparison.metric
    name = "rows" + (f"-{LOSS}" if metric.name == LOSS else "")
    methods = list(dict.fromkeys(method for of_task in curves.values() for method in of_task))

    def draw(figure: Figure) -> None:
        stacked = panels(figure, [1] * len(curves), sharex=True)
        for axes, (task, of_task) in zip(stacked, curves.items(), strict=True):
            for method, pairs in of_task.items():
                mark = Mark.of(methods.index(method))
                axes.plot(*zip(*pairs, strict=True), linestyle="none", marker=mark.marker, color=mark.colour, alpha=0.4)
                means = zip(*_means(pairs), strict=True)
                axes.plot(*means, linestyle=mark.line, color=mark.colour, label=label(method, 20))
            axes.set_title(label(f"{task}: {metric.title}", 60))
        legend_beside(stacked[0])
        stacked[-1].set_xscale("log")
        stacked[-1].set_xticks(_ticks(curves), [f"{rows:,}" for rows in _ticks(curves)])
        stacked[-1].xaxis.set_minor_locator(NullLocator())
        stacked[-1].set_xlabel("training rows of the task, all clients together")

    return Drawing(
        name,
        svg_of(name, 0.5 + 1.9 * len(curves), draw),
        f"{metric.title} of a task against its training rows: "
        + "; ".join(
            f"{task}: "
            + ", ".join(
                f"{method} " + " ".join(f"{number(score)} with {rows:,}" for rows, score in _means(pairs))
                for method, pairs in of_task.items()
            )
            for task, of_task in curves.items()
        ),
        f"{metric.title} of a task on the test data of all tasks, against the rows that all clients together hold of "
        "it. A point is a run, a line joins the means of runs with as many rows.",
    )


def task_curves(comparison: Comparison) -> dict[str, Curves]:
    """Return for each task whose rows differ between runs what every method scored; at most `MOST_TASKS` of them."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for entry in comparison.entries:
        for score in entry.scores:
            if score.test_data == ALL:
                for task, value in score.per_task.items():
                    if rows := entry.rows.get(task):
                        method = _without_rows(score.method, entry)
                        found.setdefault(task, {}).setdefault(method, []).append((rows, value))
    spread = {
        task: len({rows for pairs in of_task.values() for rows, _ in pairs}) for task, of_task in sorted(found.items())
    }
    shown = sorted((task for task, count in spread.items() if count > 1), key=lambda task: -spread[task])[:MOST_TASKS]
    return {task: {method: sorted(pairs) for method, pairs in found[task].items()} for task in sorted(shown)}


def _ticks(curves: Mapping[str, Curves]) -> list[int]:
    """Return numbers of rows that were there, and whose names do not meet on a logarithmic axis."""
    ticks: list[int] = []
    for rows in sorted({rows for of_task in curves.values() for pairs in of_task.values() for rows, _ in pairs}):
        if not ticks or rows >= 1.6 * ticks[-1]:
            ticks.append(rows)
    return ticks


def _without_rows(method: str, entry: Entry) -> str:
    """Return a method's name without the number of rows, which the figure has as an axis."""
    told = re.escape(f"{_ROWS_SETTING}={entry.settings.get(_ROWS_SETTING)}")
    return re.sub(rf" \({told}\)|{told}, |, {told}(?=[,)])", "", method, count=1)


def _means(pairs: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return [(rows, fmean(score for other, score in pairs if other == rows)) for rows in sorted({r for r, _ in pairs})]
