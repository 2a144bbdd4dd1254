"""The figure of a comparison that shows the score of a task against its training rows."""

from fedrouter_sim.partition.test_data import ALL
from fedrouter_sim.report.curves import Curves, curves_figure, name_without, own_scores
from fedrouter_sim.report.figures import Drawing
from fedrouter_sim.studies.comparison import Comparison

MOST_TASKS = 8
"""Tasks with a panel: those whose rows differ most."""

_SETTINGS = ("examples_per_client",)


def rows_figure(comparison: Comparison) -> Drawing | None:
    """Draw a panel for each task that had different numbers of training rows in different runs: its score, on the test
    data of all tasks, against them. None where there is no such task."""
    curves = task_curves(comparison)
    if not curves:
        return None
    axis = "training rows of the task, all clients together"
    told = (" of a task on the test data of all tasks", "the rows that all clients together hold of it")
    return curves_figure(comparison, "rows", curves, axis, told)


def task_curves(comparison: Comparison) -> dict[str, Curves]:
    """Return for each task whose rows differ between runs what every method scored; at most `MOST_TASKS` of them."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for entry in comparison.entries:
        for score in own_scores(entry):
            if score.test_data == ALL:
                for task, value in score.per_task.items():
                    if rows := entry.rows.get(task):
                        method = name_without(_SETTINGS, score.method, entry)
                        found.setdefault(task, {}).setdefault(method, []).append((rows, value))
    spread = {
        task: len({rows for pairs in of_task.values() for rows, _ in pairs}) for task, of_task in sorted(found.items())
    }
    shown = sorted((task for task, count in spread.items() if count > 1), key=lambda task: -spread[task])[:MOST_TASKS]
    return {task: {method: sorted(pairs) for method, pairs in found[task].items()} for task in sorted(shown)}
