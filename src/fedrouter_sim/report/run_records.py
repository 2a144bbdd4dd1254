"""What the report of a run shows: scores of cells by one metric, gaps of mean factors, samples in two dimensions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.sample_map import SAMPLES_NAME
from fedrouter_sim.partition.test_data import ALL, OWN
from fedrouter_sim.runs.cells import StoredCell
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.storage import read_json
from fedrouter_sim.studies.reading import OWN_ROUTINGS
from fedrouter_sim.typed import Count, Misfit, Within, taken

_PLACE = Annotated[float, Within(-1e15, 1e15)]
_POINT = {
    "task": str | None, "x": _PLACE, "y": _PLACE, "client": Count, "cluster": Count, "pool": str | None
}  # fmt: skip


@dataclass(frozen=True)
class CellScores:
    """The scores of one cell by one metric."""

    stored: StoredCell
    mean: float  # over clients
    worst: int  # the client with the worst score
    per_client: Mapping[int, float]
    per_task: Mapping[str, float]

    @classmethod
    def of(cls, cell: StoredCell, metric: Metric) -> "CellScores | None":
        """Take a metric's scores of a cell; None where it has none."""
        mean = cell.mean.get(metric.name)
        clients = {c: value for c, scores in cell.per_client.items() if (value := scores.get(metric.name)) is not None}
        tasks = {task: value for task, s in cell.per_task.items() if (value := s.get(metric.name)) is not None}
        if mean is None or not clients:
            return None
        worst = metric.worst(list(clients.values()))
        return cls(cell, mean, next(c for c, value in clients.items() if value == worst), clients, tasks)

    @property
    def name(self) -> str:
        """Name of the cell's files."""
        return self.stored.name


def cell_scores(run: Run, metric: Metric | None = None) -> list[CellScores]:
    """Return the scores of all cells by a metric, by default the one that the run shows first; none before any
    evaluation.

    Raises:
        UserError: a file is damaged.
    """
    return [scores for cell in run.cells() if (scores := CellScores.of(cell, metric or run.metric)) is not None]


def main_cell(cells: Sequence[CellScores]) -> CellScores | None:
    """Return the cell that speaks for the run: all tasks under the method's own routing, else its own data."""
    found = {cell.name: cell for cell in cells}
    names = [f"{data}-{routing}" for data in (ALL, OWN) for routing in OWN_ROUTINGS]
    return next((found[name] for name in names if name in found), None)


def round_gaps(rounds: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """Return, for each round, the gaps of the pools that averaged several updates in it: how far the product of mean
    factors was from the mean of products. Rounds without any are left out, as are all of runs from before it was
    measured. A gap of exactly 0 is that of a single update, where there is nothing to average."""
    found = {r["round"]: {pool: gap for pool, gap in (r.get("gaps") or {}).items() if gap} for r in rounds}
    return {round_: gaps for round_, gaps in found.items() if gaps}


def read_samples(run: Run) -> dict[str, Any] | None:
    """Read what `sample_map` made of the run; None where it is not there.

    Raises:
        UserError: the file is damaged.
    """
    path = run.folder / SAMPLES_NAME
    if not path.exists():
        return None
    record = read_json(path, "delete it, or train the run anew")
    try:
        explained = taken(record, "explained", list[float])
        if len(explained) != 2:
            raise Misfit("explained must be two numbers")
        first, second = map(float, explained)
        points = [
            {key: taken(point, key, kind, *([None] if key == "task" else [])) for key, kind in _POINT.items()}
            for point in taken(record, "points", list[dict[str, Any]])
        ]
        centroids = [
            (taken(c, "pool", str), float(taken(c, "x", _PLACE)), float(taken(c, "y", _PLACE)))
            for c in taken(record, "centroids", list[dict[str, Any]])
        ]
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); delete it, or train the run anew") from None
    return {"explained": (first, second), "points": points, "centroids": centroids}


def pool_label(run: Run, pool: str | None) -> str:
    """Return how a pool is called in a report: with its majority task, where labels are known."""
    if pool is None:
        return "bare backbone"
    task = run.truth.majority_task(pool) if run.truth else None
    return pool if task in (None, pool) else f"{pool} ({task})"
