"""What the report of a run reads beyond `Run`: rounds, cells, single answers, and the samples in two dimensions."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import BARE, ORACLE
from fedrouter_sim.evaluation.sample_map import SAMPLES_NAME
from fedrouter_sim.report.comparison_tables import TITLES
from fedrouter_sim.runs.run_folder import Run
from fedrouter_sim.studies.comparison import OWN_ROUTINGS

_TEST_DATA = tuple(TITLES)  # the order in a report; others follow by name
_ROUTINGS = (*OWN_ROUTINGS, "local", ORACLE, BARE)


@dataclass(frozen=True)
class CellScores:
    """The ROUGE-1 scores of one cell, and which adapter answered what."""

    test_data: str
    routing: str
    mean: float  # over clients
    per_client: Mapping[int, float]
    per_task: Mapping[str, float]
    confusion: Mapping[str, Mapping[str, int]]  # task -> pool -> samples

    @property
    def name(self) -> str:
        """Name of the cell's files."""
        return f"{self.test_data}-{self.routing}"

    @property
    def worst(self) -> int:
        """The client with the lowest score."""
        return min(self.per_client, key=lambda client: self.per_client[client])


def read_cells(run: Run) -> list[CellScores]:
    """Read all cells that were evaluated, in a fixed order; none for a run of `aggregate` before `eval`.

    Raises:
        UserError: a file is damaged.
    """
    cells = [_cell(path) for path in sorted((run.folder / "eval").glob("*.json"))]

    def place(cell: CellScores) -> tuple[int, str, int, str]:
        return (_rank(_TEST_DATA, cell.test_data), cell.test_data, _rank(_ROUTINGS, cell.routing), cell.routing)

    return sorted(cells, key=place)


def main_cell(cells: list[CellScores]) -> CellScores | None:
    """Return the cell that speaks for the run: all tasks under the method's own routing, else its own data."""
    found = {cell.name: cell for cell in cells}
    names = [f"{data}-{routing}" for data in ("all", "own") for routing in OWN_ROUTINGS]
    return next((found[name] for name in names if name in found), None)


def read_rounds(run: Run) -> list[dict[str, Any]]:
    """Read rounds.jsonl; empty for a run of `aggregate` or of a method that does not train.

    Raises:
        UserError: the file is damaged.
    """
    path = run.folder / "rounds.jsonl"
    return list(_lines(path, ("round", "losses"))) if path.exists() else []


def read_answers(run: Run, cell: CellScores) -> Iterator[dict[str, Any]]:
    """Yield the single answers of a cell.

    Raises:
        UserError: the file is missing or damaged.
    """
    keys = ("client", "task", "instruction", "reference", "pool", "answer", "rouge1")
    yield from _lines(run.folder / "eval" / f"{cell.name}.jsonl", keys)


def read_samples(run: Run) -> dict[str, Any] | None:
    """Read what `sample_map` made of the run; None where it is not there.

    Raises:
        UserError: the file is damaged.
    """
    path = run.folder / SAMPLES_NAME
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        first, second = map(float, record["explained"])
        points = [{"task": None} | dict(point) for point in record["points"]]
        if any(not {"x", "y", "client", "cluster", "pool"} <= point.keys() for point in points):
            raise KeyError("x, y, client, cluster or pool")
        centroids = [(str(c["pool"]), float(c["x"]), float(c["y"])) for c in record["centroids"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged ({error!r}); delete it, or train the run anew") from None
    return {"explained": (first, second), "points": points, "centroids": centroids}


def pool_label(run: Run, pool: str | None) -> str:
    """Return how a pool is called in a report: with its majority task, where labels are known."""
    if pool is None:
        return "bare backbone"
    task = run.truth.majority_task(pool) if run.truth else None
    return pool if task in (None, pool) else f"{pool} ({task})"


def _rank(order: tuple[str, ...], name: str) -> int:
    return order.index(name) if name in order else len(order)


def _cell(path: Path) -> CellScores:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return CellScores(
            test_data=str(record["cell"]["test_data"]),
            routing=str(record["cell"]["routing"]),
            mean=float(record["mean"]["rouge1"]),
            per_client={int(client): float(scores["rouge1"]) for client, scores in record["per_client"].items()},
            per_task={task: float(scores["rouge1"]) for task, scores in record["per_task"].items()},
            confusion={task: {p: int(n) for p, n in row.items()} for task, row in record["confusion"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error!r}); evaluate or train the run anew") from None


def _lines(path: Path, keys: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                record = json.loads(line)
                if not isinstance(record, dict) or any(key not in record for key in keys):
                    raise ValueError(f"line {number} lacks one of {', '.join(keys)}")
                yield record
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); evaluate or train the run anew") from None
