"""What a comparison reads of finished runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import stdev
from typing import Any

from fedrouter_sim.config.paths import absolute_path
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import DEFAULT_METRIC, LOSS, METRICS, find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.partition.test_data import GIVEN
from fedrouter_sim.routing import BARE, FIXED, GLOBAL, ORACLE
from fedrouter_sim.runs.cells import StoredCell, has_answers, read_answers
from fedrouter_sim.runs.checking import notes_in
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.studies.comparison import Comparison, Cost, Entry, Score, compare
from fedrouter_sim.studies.naming import Told
from fedrouter_sim.studies.resampling import resampled, values_of

_ROUGE = ("rouge1", "rouge2", "rouge_l")
OWN_ROUTINGS = (GLOBAL, FIXED)
"""How a method finds its adapters when left to itself; other routings are named after the method, as in
'fedrouter/local'."""


def open_comparison(
    folders: Sequence[Path],
    metric: str | None = None,
    option: Sequence[str] = (),
    trust_code: bool = False,
    also: Sequence[str] = (),
    planned: Sequence[Told] = (),
    data: str | None = None,
) -> Comparison:
    """Read finished runs and set them side by side.

    Args:
        folders: the runs.
        metric: what they are compared by; None: what the first of them shows first or, where a run has no score by
            that, the default metric.
        option: options of `metric`, as 'name=value'; those of the first run hold where none is given.
        trust_code: as of `Run`.
        also: other shipped metrics by which the runs are to be compared beside it; token loss always is.
        planned: as of `compare`.
        data: test data of the user's on which all runs were evaluated, as `evaluate` was given them: the runs are
            compared by these; None: by their own.

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
        lacking = next((run for run in runs if run.cells() and not _has_scores(run, chosen, data)), None)
        if lacking is not None:
            first, chosen = chosen, find_metric(DEFAULT_METRIC)
            notes.append(f"{lacking.folder} has no score by {first.name}, so the runs are compared by {chosen.name}")
    rules = {cell.rouge_words: run.folder for run in runs for cell in _compared_cells(run, data)}
    if chosen.name in _ROUGE and len(rules) > 1:
        (one, folder), (two, other) = list(rules.items())[:2]
        notes.append(
            f"{folder} was scored with words cut by the rules {one}, and {other} by {two}; evaluate the older one again"
        )
    others = metrics_beside(chosen, also)
    entries: dict[str, list[Entry]] = {name: [] for name in (chosen.name, *(extra.name for extra in others))}
    for run in runs:
        answers = _answers_of(run)
        entries[chosen.name].append(read_entry(run, chosen, answers=answers, data=data))
        for beside_it in others:
            entries[beside_it.name].append(read_entry(run, beside_it, False, answers, data))
    beside = {extra.name: compare(entries[extra.name], extra, planned) for extra in others}
    return replace(compare(entries[chosen.name], chosen, planned), notes=tuple(notes), beside=beside)


def metrics_beside(first: Metric, also: Sequence[str]) -> list[Metric]:
    """Return the metrics that stand beside the first one: token loss, and these shipped ones."""
    return [find_metric(name) for name in dict.fromkeys((LOSS, *also)) if name and name != first.name]


Answers = Callable[[StoredCell], Sequence[dict[str, Any]]]
"""Returns the single answers of a cell, each as in its file."""


def read_entry(
    run: Run, metric: Metric, needed: bool = True, answers: Answers | None = None, data: str | None = None
) -> Entry:
    """Read what a comparison needs of a run.

    Args:
        run: a finished run.
        metric: what it is compared by.
        needed: whether a run without scores by it is refused.
        answers: the single answers of its cells, where they were read before.
        data: as of `open_comparison`.

    Raises:
        UserError: it was never evaluated (on these data) or, where that is needed, not by the metric.
    """
    config, summary = run.config, run.summary
    cells = _compared_cells(run, data)
    if not cells:
        on = "" if data is None else f" --data {data}"
        raise UserError(f"{run.folder}: has no scores to compare; `fedrouter-sim eval {run.folder}{on}` makes them")
    told, of_cell = (summary.method, summary.split, config.seed), answers or _answers_of(run)
    scores = [score for cell in cells if (score := _score(cell, metric, of_cell, *told))]
    if needed and not scores:
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
        _rows_of(run),
        run.manifest.get("libraries", {}),
        tuple(notes_in(run.manifest)),
    )


def _rows_of(run: Run) -> dict[str, int]:
    """Return how many training rows of each task a run's clients hold; none where labels are not known.

    Methods with an adapter for everyone and one for each client count a row in both.
    """
    private = {pool.name: pool.private for pool in run.pools}
    sums: dict[str, dict[bool, int]] = {}
    for pool, counts in run.truth.pools.items() if run.truth else ():
        for task, count in counts.items():
            own = sums.setdefault(task, {})
            own[private.get(pool, False)] = own.get(private.get(pool, False), 0) + count
    return {task: max(own.values()) for task, own in sums.items()}


def _compared_cells(run: Run, data: str | None = None) -> list[StoredCell]:
    """Return the cells of the method's own routings on the run's test data, or on those that were given to `eval`."""
    cells = [cell for cell in run.cells() if cell.routing not in (BARE, ORACLE)]
    if data is None:
        return [cell for cell in cells if cell.test_data != GIVEN]
    wanted = absolute_path(data)
    found = [cell for cell in cells if cell.test_data == GIVEN and cell.data == wanted]
    return [cell for cell in found if cell.under] or found  # older versions wrote them beside the run's own


def _has_scores(run: Run, metric: Metric, data: str | None) -> bool:
    return any(cell.mean.get(metric.name) is not None for cell in _compared_cells(run, data))


def _answers_of(run: Run) -> Answers:
    """Return what reads the single answers of a cell once; there are none where they were taken away."""
    known: dict[str, list[dict[str, Any]]] = {}

    def of_cell(cell: StoredCell) -> list[dict[str, Any]]:
        if cell.name not in known:
            known[cell.name] = list(read_answers(run.folder, cell)) if has_answers(run.folder, cell) else []
        return known[cell.name]

    return of_cell


def _score(cell: StoredCell, metric: Metric, answers: Answers, method: str, split: str, seed: int) -> Score | None:
    """Return the score of a cell by a metric; None where it has none, as exact match of tasks without labels."""
    mean = cell.mean.get(metric.name)
    clients = {client: value for client, s in cell.per_client.items() if (value := s.get(metric.name)) is not None}
    if mean is None or not clients:
        return None
    values, rows = values_of(answers(cell), metric)
    asked = sum(map(len, values.values())) if values else len(answers(cell))  # what has no value has no say
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
        asked=asked,
        values=values,
        rows=rows,
        draws=resampled(values, rows, cell.samples),
    )
