"""The scores of a cell as they stand on disk, read here alone."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics.words import TOKENIZER
from fedrouter_sim.evaluation.scores import Cell, CellResult
from fedrouter_sim.partition.test_data import RUN_TEST_DATA
from fedrouter_sim.routing import ROUTINGS
from fedrouter_sim.runs.digests import file_digest
from fedrouter_sim.storage import read_json, read_json_lines, write_json, write_text
from fedrouter_sim.typed import Count, Misfit, Name, Pattern, taken

FOLDER_NAME = "eval"
OF_DATA = "data-"  # what folders begin with that hold cells on the user's test data
_DATA_FOLDER = re.compile(rf"{OF_DATA}[\w.+=-]+")
_LONGEST = 80  # characters of a name that such a folder takes
_REMEDY = "evaluate or train the run anew"

_ANSWER = {
    "client": Count, "task": str | None, "instruction": str, "reference": str, "pool": str | None, "answer": str
}  # fmt: skip
"""What every line of a cell's answers has."""
_ROUTER = Annotated[str, Pattern(r"[\w +.=-]+", "letters, digits, spaces and _ + . = -")]

MetricScores = Mapping[str, float | None]
"""Metric -> score; in a cell's file `samples` as well, the number of answers."""


@dataclass(frozen=True)
class StoredCell:
    """The scores of one cell, by metric, and which adapter answered what."""

    test_data: str
    routing: str
    mean: MetricScores  # over clients
    per_client: Mapping[int, MetricScores]
    per_task: Mapping[str, MetricScores]
    confusion: Mapping[str, Mapping[str, int]]  # task -> pool -> samples
    samples: str  # digest of who was asked what: only equal ones may be compared
    rouge_words: str  # by which rules ROUGE cut words
    router: str | None = None  # another router than the run's, and its options; None: the run's own
    answers_sha256: str | None = None  # of the file of its answers; None: of a run from before that was written down
    data: str | None = None  # whose test samples they are: a name, or an absolute path
    under: str = ""  # the folder of eval/ that has it, where the test data are the user's; '': eval/ itself

    @property
    def name(self) -> str:
        """Name of the cell's files."""
        return f"{self.under}/{self._file_name}" if self.under else self._file_name

    @property
    def _file_name(self) -> str:
        return Cell(self.test_data, self.routing, self.router).name


def write_cell(folder: Path, result: CellResult, under: str = "", **context: Any) -> Path:
    """Write eval/CELL.json (scores) and eval/CELL.jsonl (a line per answer), or both `under` a folder of eval/, where
    they are none of the run's own cells; return the former's path.

    The scores say which answers are theirs, so that a reader notices a pair of which one is older.
    """
    path = folder / FOLDER_NAME / under / f"{result.cell.name}.json"
    answers = "".join(json.dumps(answer.to_dict(), ensure_ascii=False) + "\n" for answer in result.answers)
    write_text(path.with_suffix(".jsonl"), answers)
    digest = hashlib.sha256(answers.encode()).hexdigest()
    write_json(path, {**context, "rouge_words": TOKENIZER, **result.to_dict(), "answers_sha256": digest})
    return path


def folder_of_data(folder: Path, data: str) -> str:
    """Return the folder of eval/ for the cells of a run on test data of the user's.

    It is named after the file or data set, with a digest where other data of that name have the folder already.

    Args:
        folder: of the run.
        data: a name, or an absolute path.

    Raises:
        UserError: a file of scores there is damaged.
    """
    name = Path(data).name if Path(data).is_absolute() else data
    short = OF_DATA + re.sub(r"[^\w.+=-]", "_", name)[:_LONGEST]
    there = (folder / FOLDER_NAME / short).rglob("*.json")
    if all(read_json(path, _REMEDY).get("data") == data for path in there):
        return short
    return f"{short}-{hashlib.sha256(data.encode()).hexdigest()[:8]}"


def read_cells(folder: Path) -> list[StoredCell]:
    """Read all cells that were evaluated, in the order of a report; none for a run that was never evaluated.

    Those of other answers than the run's, or of fewer samples, lie in folders of their own and are not among them.

    Raises:
        UserError: a file is damaged.
    """
    place = folder / FOLDER_NAME
    cells = [_read(path) for path in sorted(place.glob("*.json"))]
    named = [path for path in sorted(place.glob(f"{OF_DATA}*")) if _DATA_FOLDER.fullmatch(path.name)]
    cells += [replace(_read(path), under=place.name) for place in named for path in sorted(place.glob("*.json"))]
    return sorted(
        cells,
        key=lambda cell: (
            *(_rank(RUN_TEST_DATA, cell.test_data), cell.test_data),
            *(_rank(ROUTINGS, cell.routing), cell.routing),
            cell.router or "",
            cell.under,
        ),
    )


def has_cells(folder: Path) -> bool:
    """Say whether a run is there and was evaluated on its own test data."""
    return any((folder / FOLDER_NAME).glob("*.json"))


def has_answers(folder: Path, cell: StoredCell) -> bool:
    """Say whether the file of a cell's single answers is there."""
    return (folder / FOLDER_NAME / f"{cell.name}.jsonl").is_file()


def read_answers(folder: Path, cell: StoredCell) -> Iterator[dict[str, Any]]:
    """Yield the single answers of a cell.

    Raises:
        UserError: the file is missing, damaged, or not that of these scores.
    """
    path = folder / FOLDER_NAME / f"{cell.name}.jsonl"
    if cell.answers_sha256 is not None and path.is_file() and file_digest(path) != cell.answers_sha256:
        raise UserError(f"{path}: is not of the scores beside it (an evaluation was broken off); {_REMEDY}")
    yield from read_json_lines(path, _ANSWER, _REMEDY)


def samples_digest(folder: Path, cell: StoredCell) -> str:
    """Return the digest of who was asked what, from the single answers of a cell.

    Raises:
        UserError: as `read_answers`.
    """
    asked = [(row["client"], row["instruction"], row["reference"]) for row in read_answers(folder, cell)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()


def _read(path: Path) -> StoredCell:
    record = read_json(path, _REMEDY)
    try:
        cell = taken(record, "cell", dict)
        found = StoredCell(
            test_data=taken(cell, "test_data", Name),
            routing=taken(cell, "routing", Name),
            mean=_scores(taken(record, "mean", MetricScores)),
            per_client={c: _scores(s) for c, s in taken(record, "per_client", Mapping[int, MetricScores]).items()},
            per_task={t: _scores(s) for t, s in taken(record, "per_task", Mapping[str, MetricScores]).items()},
            confusion=taken(record, "confusion", Mapping[str, Mapping[str, Count]]),
            samples=taken(record, "samples_sha256", str),
            rouge_words=taken(record, "rouge_words", str, "unicode-1"),
            router=taken(cell, "router", _ROUTER | None, None),
            answers_sha256=taken(record, "answers_sha256", str | None, None),
            data=taken(record, "data", str | None, None),
        )
        if found.name != path.stem:
            raise Misfit(f"it says that it is {found.name}")
        return found
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); {_REMEDY}") from None


def _scores(record: MetricScores) -> dict[str, float | None]:
    return {name: None if value is None else float(value) for name, value in record.items()}


def _rank(order: tuple[str, ...], name: str) -> int:
    return order.index(name) if name in order else len(order)
