"""Examples: the record, the prompt template, and the loader of embedded data and of the user's own files."""

import csv
import glob
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedrouter_sim.bundled import BUNDLED_DATA, bundled
from fedrouter_sim.errors import UserError
from fedrouter_sim.randomness import numpy_generator


@dataclass(frozen=True)
class Example:
    """One supervised example. `task` serves dealing out and measuring only; no method but `oracle` reads it."""

    instruction: str
    response: str
    task: str | None = None


@dataclass(frozen=True)
class Shares:
    """The shares of a data set. Tuning reads `validation`; `test` is read by final evaluation only."""

    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    test: tuple[Example, ...]

    def without(self, task: str) -> "Shares":
        """Return the shares without the examples of a task."""
        parts = (self.train, self.validation, self.test)
        return Shares(*(tuple(example for example in part if example.task != task) for part in parts))

    def digest(self) -> str:
        """Return the SHA-256 hex digest of all rows in order."""
        rows = [
            [(e.instruction, e.response, e.task) for e in share] for share in (self.train, self.validation, self.test)
        ]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass(frozen=True)
class Columns:
    """Names of the columns that hold an example's fields. A `task` column by the default name may be absent."""

    instruction: str = "instruction"
    response: str = "response"
    task: str = "task"


TEMPLATES = {
    # The template of Stanford Alpaca, which the paper uses.
    "alpaca": "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
    "\n\n### Instruction:\n{instruction}\n\n### Response:\n",
    "plain": "{instruction}\n",
}


def render_prompt(template: str, instruction: str) -> str:
    """Return the text before the response; `template` is a name of `TEMPLATES` or a text with {instruction}."""
    return TEMPLATES.get(template, template).replace("{instruction}", instruction)


_FORMATS = (".jsonl", ".json", ".csv", ".parquet")
_SHARE_NAMES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def load_shares(source: str, columns: Columns, seed: int) -> Shares:
    """Load the shares of embedded data ('multitask'), of a folder with train and test files, or of one file.

    One file is split by `seed` into 80% train, 10% validation and 10% test; equal instructions stay in one share.

    Raises:
        UserError: the path, a file's format, a column or a row is not usable; the message names file and row.
    """
    path = _data_path(source)
    if path.is_file():
        return _split_by_seed(path, read_examples(path, columns), seed)
    parts = {share: read_examples(file, columns) for share in _SHARE_NAMES if (file := _share_file(path, share))}
    for share in ("train", "test"):
        if share not in parts:
            raise UserError(f"--data {path}: no {share} file (.jsonl, .json, .csv or .parquet) in this folder")
    return Shares(parts["train"], parts.get("validation", ()), parts["test"])


def load_test(source: str, columns: Columns) -> tuple[Example, ...]:
    """Load test examples alone: the test file of a folder, or the whole of one file.

    Raises:
        UserError: as `load_shares`.
    """
    path = _data_path(source)
    file = path if path.is_file() else _share_file(path, "test")
    if file is None:
        raise UserError(f"--data {path}: no test file (.jsonl, .json, .csv or .parquet) in this folder")
    return read_examples(file, columns)


def read_examples(path: Path, columns: Columns) -> tuple[Example, ...]:
    """Read the examples of one JSONL, JSON, CSV or Parquet file, in file order.

    Raises:
        UserError: naming the file and, where there is one, the row (counted from 1) and column.
    """
    if path.suffix not in _FORMATS:
        raise UserError(f"--data {path}: unknown format {path.suffix!r}; use one of {', '.join(_FORMATS)}")
    rows = _read_rows(path)
    if not rows:
        raise UserError(f"--data {path}: holds no rows")
    present = dict.fromkeys(column for row in rows for column in row)
    for flag, column in (("--instruction-column", columns.instruction), ("--response-column", columns.response)):
        if column not in present:
            raise UserError(f"--data {path}: no column {column!r}; it has {', '.join(present)}: name it with {flag}")
    labelled = columns.task in present
    if not labelled and columns.task != Columns.task:
        raise UserError(f"--data {path}: no column {columns.task!r}; it has {', '.join(present)}: mend --task-column")
    return tuple(
        Example(
            instruction=_text(path, number, columns.instruction, row),
            response=_text(path, number, columns.response, row),
            task=_text(path, number, columns.task, row) if labelled else None,
        )
        for number, row in enumerate(rows, start=1)
    )


def tasks_of(examples: Sequence[Example]) -> list[str]:
    """Return the distinct task labels, sorted; empty where the data has none."""
    return sorted({example.task for example in examples if example.task is not None})


def _data_path(source: str) -> Path:
    path = bundled(source) if source in BUNDLED_DATA else Path(source)
    if not path.exists():
        raise UserError(f"--data {source}: no such file or folder; give {BUNDLED_DATA[0]}, a folder or a file")
    return path


def _share_file(folder: Path, share: str) -> Path | None:
    found = [folder / f"{name}{suffix}" for name in _SHARE_NAMES[share] for suffix in _FORMATS]
    found = [path for path in found if path.is_file()]
    if len(found) > 1:
        raise UserError(f"--data {folder}: both {found[0].name} and {found[1].name} are there; keep one of them")
    return found[0] if found else None


def _read_rows(path: Path) -> list[dict[str, Any]]:
    """Read a file's rows with every text as it stands: "NA", "007" and "2024-01-01" are answers like any other."""
    if path.stat().st_size == 0:
        raise UserError(f"--data {path}: the file is empty")
    try:
        return _READERS[path.suffix](path)
    except UserError:
        raise
    except Exception as error:  # parsers raise what they like
        cause = error.__cause__ or error
        fault = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
        raise UserError(f"--data {path}: not readable as {path.suffix[1:]} ({fault})") from None


def _read_jsonl(path: Path) -> list[dict[str, Any]]:
    rows = []
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UserError(f"--data {path}: line {number} is not JSON ({error})") from None
            if not isinstance(row, dict):
                raise UserError(f"--data {path}: line {number} is not a JSON object")
            rows.append(row)
    return rows


def _read_json(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    if not text.lstrip().startswith("["):
        return _read_jsonl(path)  # one object a line goes by this name, too
    rows = json.loads(text)
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--data {path}: is not a list of JSON objects")
    return list(rows)


def _read_csv(path: Path) -> list[dict[str, Any]]:
    rows = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row:
                raise UserError(f"--data {path}: line {reader.line_num} has more fields than the header names")
            rows.append(row)
    return rows


def _read_parquet(path: Path) -> list[dict[str, Any]]:
    import datasets  # slow to import, and only needed here

    # Nothing of the user's data stays behind in a shared cache.
    with tempfile.TemporaryDirectory() as cache:
        datasets.disable_progress_bars()
        verbosity = datasets.logging.get_verbosity()
        datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # the error we raise says it
        try:
            files = glob.escape(str(path))
            return list(
                datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache, keep_in_memory=True)
            )
        finally:
            datasets.logging.set_verbosity(verbosity)
            datasets.enable_progress_bars()


_READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _text(path: Path, number: int, column: str, row: dict[str, Any]) -> str:
    value = row.get(column)
    if isinstance(value, (dict, list)):
        raise UserError(f"--data {path}, row {number}: column {column!r} holds {type(value).__name__}, not a text")
    text = "" if value is None else str(value).strip()
    if not text:
        raise UserError(f"--data {path}, row {number}: column {column!r} is empty; fill it or drop the row")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"--data {path}, row {number}: column {column!r} holds half a character (surrogate)") from None
    return text


def _split_by_seed(path: Path, examples: Sequence[Example], seed: int) -> Shares:
    instructions = sorted({example.instruction for example in examples})
    if len(instructions) < 3:
        raise UserError(
            f"--data {path}: {len(instructions)} different instructions are too few to split; give a folder"
        )
    order = numpy_generator(seed, "split file").permutation(len(instructions))
    held = max(1, len(instructions) // 10)
    share = {instructions[i]: ("test" if rank < held else "validation" if rank < 2 * held else "train")
             for rank, i in enumerate(order)}  # fmt: skip
    parts = {name: tuple(e for e in examples if share[e.instruction] == name) for name in _SHARE_NAMES}
    return Shares(**parts)
