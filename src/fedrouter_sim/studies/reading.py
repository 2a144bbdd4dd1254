"""What a comparison reads of finished runs."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import stdev

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import DEFAULT_METRIC, METRICS, find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.partition.test_data import GIVEN
from fedrouter_sim.routing import BARE, FIXED, GLOBAL, ORACLE
from fedrouter_sim.runs.cells import StoredCell
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.comparison import Comparison, Cost, Entry, Score, compare

_ROUGE = ("rouge1", "rouge2", "rouge_l")
OWN_ROUTINGS = (GLOBAL, FIXED)
"""How a method finds its adapters when left to itself; other routings are named after the method, as in
'fedrouter/local'."""


def open_comparison(
    folders: Sequence[Path], metric: str | None = None, option: Sequence[str] = (), trust_code: bool = False
) -> Comparison:
    """Read finished runs and set them side by side.

    Args:
        folders: the runs.
        metric: what they are compared by; None: what the first of them shows first or, where a run has no score by
            that, the default metric.
        option: options of `metric`, as 'name=value'; those of the first run hold where none is given.
        trust_code: as of `Run`.

    Raises:
        UserError: a folder is no run, two runs are the same method on the same clients, their test samples differ, or
            one was not scored by the metric.
    """
    runs = [Run(folder, trust_code) for folder in folders]
    if not runs:
        return compare([])
    notes = []
    if metric or option:
        if not metric:
            runs[0].check_own("metric")
        metric = metric or runs[0].config.metric
        chosen = find_metric(metric, METRICS.options(metric, runs[0].config.option, option))
    else:
        chosen = runs[0].metric
        lacking = next((run for run in runs if run.cells() and not _scores(run, chosen)), None)
        if lacking is not None:
            first, chosen = chosen, find_metric(DEFAULT_METRIC)
            notes.append(f"{lacking.folder} has no score by {first.name}, so the runs are compared by {chosen.name}")
    rules = {cell.rouge_words: run.folder for run in runs for cell in _compared_cells(run)}
    if chosen.name in _ROUGE and len(rules) > 1:
        (one, folder), (two, other) = list(rules.items())[:2]
        notes.append(
            f"{folder} was scored with words cut by the rules {one}, and {other} by {two}; evaluate the older one again"
        )
    return replace(compare([read_entry(run, chosen) for run in runs], chosen), notes=tuple(notes))


def read_entry(run: Run, metric: Metric) -> Entry:
    """Read what a comparison needs of a run.

    Raises:
        UserError: it was never evaluated, or not by the metric.
    """
    config, summary = run.config, run.summary
    cells = _compared_cells(run)
    if not cells:
        raise UserError(f"{run.folder}: has no scores to compare; `fedrouter-sim eval {run.folder}` makes them")
    scores = _scores(run, metric)
    if not scores:
        there = ", ".join(name for name, value in cells[0].mean.items() if name != "samples" and value is not None)
        raise UserError(f"{run.folder}: has no scores by --metric {metric.name}; take one of {there}")
    cost = Cost(summary.optimizer_steps, summary.tokens_trained, summary.bytes_up, summary.bytes_down)
    wall = float(run.manifest.get("wall_seconds", 0))
    return Entry(
        run.folder,
        summary.method,
        summary.split,
        config.seed,
        config.to_dict(),
        cost,
        tuple(scores),
        metric.name,
        wall,
        run.backbone,
    )


def _compared_cells(run: Run) -> list[StoredCell]:
    return [cell for cell in run.cells() if cell.routing not in (BARE, ORACLE) and cell.test_data != GIVEN]


def _scores(run: Run, metric: Metric) -> list[Score]:
    """Return the scores of a run by a metric, in the cells that have one."""
    told = run.summary.method, run.summary.split, run.config.seed
    return [score for cell in _compared_cells(run) if (score := _score(cell, metric, *told))]


def _score(cell: StoredCell, metric: Metric, method: str, split: str, seed: int) -> Score | None:
    """Return the score of a cell by a metric; None where it has none, as exact match of tasks without labels."""
    mean = cell.mean.get(metric.name)
    clients = {client: value for client, s in cell.per_client.items() if (value := s.get(metric.name)) is not None}
    if mean is None or not clients:
        return None
    return Score(
        method=(method if cell.routing in OWN_ROUTINGS else f"{method}/{cell.routing}")
        + (f"@{cell.router}" if cell.router else ""),
        split=split,
        seed=seed,
        test_data=cell.test_data,
        mean=mean,
        spread=stdev(clients.values()) if len(clients) > 1 else 0.0,
        worst=metric.worst(list(clients.values())),
        per_client=clients,
        per_task={task: value for task, s in cell.per_task.items() if (value := s.get(metric.name)) is not None},
        samples=cell.samples,
    )
