"""The user's files: JSONL, JSON, CSV and Parquet, read into columns and made into examples, every text as it stands."""

import csv
import glob
import json
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Columns, Example

FORMATS = (".jsonl", ".json", ".csv", ".parquet")
"""Suffixes of the files that can be read."""


@dataclass(frozen=True)
class Table:
    """Rows, held by column: a million rows are a few long lists, not a million dictionaries."""

    names: Collection[str]  # of all columns there are
    values: dict[str, list[Any]]  # of the columns that were wanted and are there; None where a row lacks it


def read_examples(path: Path, columns: Columns) -> tuple[Example, ...]:
    """Read the examples of one JSONL, JSON, CSV or Parquet file, in file order.

    Raises:
        UserError: naming the file and, where there is one, the row (counted from 1) and column.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"--data {path}: unknown format {path.suffix!r}; use one of {', '.join(FORMATS)}")
    return examples_of(_read(path, wanted(columns)), columns, f"--data {path}")


def wanted(columns: Columns) -> tuple[str, ...]:
    """Return the distinct names of the columns to read."""
    return tuple(dict.fromkeys((columns.instruction, columns.response, columns.task, columns.client)))


def examples_of(table: Table, columns: Columns, where: str) -> tuple[Example, ...]:
    """Make the examples of a table's rows, in order.

    Args:
        table: its rows.
        columns: which column holds which field.
        where: the data, as messages begin with it.

    Raises:
        UserError: a column is missing, or a row has no text in it.
    """
    for flag, column in (("--instruction-column", columns.instruction), ("--response-column", columns.response)):
        if column not in table.names:
            raise UserError(f"{where}: no column {column!r}; it has {', '.join(table.names)}: name it with {flag}")
    for flag, column, default in (
        ("--task-column", columns.task, Columns.task),
        ("--client-column", columns.client, Columns.client),
    ):
        if column not in table.names and column != default:
            raise UserError(f"{where}: no column {column!r}; it has {', '.join(table.names)}: mend {flag}")
    instructions = _texts(table, columns.instruction, where)
    responses = _texts(table, columns.response, where)
    tasks = _labels(table, columns.task, where) if columns.task in table.names else repeat(None)
    clients = _clients(table, columns.client, where) if columns.client in table.names else repeat(None)
    return tuple(map(Example, instructions, responses, tasks, clients))


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Keep the progress bars and notices of `datasets` and of the Hub out of our output: the errors we raise say it."""
    import datasets  # slow to import, and not always needed
    from huggingface_hub import utils as hub

    verbosity = datasets.logging.get_verbosity()
    shown = [bars for bars in (datasets, hub) if not bars.are_progress_bars_disabled()]
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    for bars in shown:
        bars.disable_progress_bars()
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        for bars in shown:
            bars.enable_progress_bars()


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or of what caused it."""
    cause = error.__cause__ or error
    return str(cause).splitlines()[0] if str(cause) else type(cause).__name__


def _read(path: Path, columns: Sequence[str]) -> Table:
    if path.stat().st_size == 0:
        raise UserError(f"--data {path}: the file is empty")
    try:
        table = _READERS[path.suffix](path, columns)
    except UserError:
        raise
    except Exception as error:  # parsers raise what they like
        raise UserError(f"--data {path}: not readable as {path.suffix[1:]} ({first_line(error)})") from None
    if not table.names:
        raise UserError(f"--data {path}: holds no rows")
    return table


def _collect(rows: Iterable[dict[str, Any]], columns: Sequence[str]) -> Table:
    names: dict[str, None] = {}  # in the order in which they appear
    lists: list[tuple[str, list[Any]]] = [(column, []) for column in columns]
    for row in rows:
        if not row.keys() <= names.keys():
            names.update(dict.fromkeys(row))
        for column, values in lists:
            values.append(row.get(column))
    return Table(names, {column: values for column, values in lists if column in names})


def _jsonl_rows(path: Path) -> Iterator[dict[str, Any]]:
    decode = json.JSONDecoder().raw_decode  # at half the time of json.loads
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            text = line.strip()
            if not text:
                continue
            try:
                row, end = decode(text)
                if end < len(text):
                    raise ValueError(f"more text from column {end + 1} on")
            except ValueError as error:
                raise UserError(f"--data {path}: line {number} is not JSON ({error})") from None
            if not isinstance(row, dict):
                raise UserError(f"--data {path}: line {number} is not a JSON object")
            yield row


def _json_rows(path: Path) -> Iterable[dict[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    if not text.lstrip().startswith("["):
        return _jsonl_rows(path)  # one object a line goes by this name, too
    rows = json.loads(text)
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--data {path}: is not a list of JSON objects")
    return list(rows)


def _csv_rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row:
                raise UserError(f"--data {path}: line {reader.line_num} has more fields than the header names")
            yield row


def _read_parquet(path: Path, columns: Sequence[str]) -> Table:
    import datasets  # slow to import, and only needed here

    # Nothing of the user's data stays behind in a shared cache.
    with tempfile.TemporaryDirectory() as cache, quiet_datasets():
        files = glob.escape(str(path))
        rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache, keep_in_memory=True)
        return table_of(rows, columns) if len(rows) else Table((), {})


def table_of(rows: Any, columns: Sequence[str]) -> Table:
    """Return the wanted columns of a `datasets.Dataset`."""
    names = rows.column_names
    return Table(names, {column: rows[column][:] for column in columns if column in names})


_READERS: dict[str, Callable[[Path, Sequence[str]], Table]] = {
    ".jsonl": lambda path, columns: _collect(_jsonl_rows(path), columns),
    ".json": lambda path, columns: _collect(_json_rows(path), columns),
    ".csv": lambda path, columns: _collect(_csv_rows(path), columns),
    ".parquet": _read_parquet,
}


def _texts(table: Table, column: str, where: str) -> list[str]:
    """Return the values of a column as texts without surrounding space; a row without a text is refused."""
    texts = []
    for number, value in enumerate(table.values[column], start=1):
        if isinstance(value, (dict, list)):
            raise UserError(f"{where}, row {number}: column {column!r} holds {type(value).__name__}, not a text")
        text = "" if value is None else str(value).strip()
        if not text:
            raise UserError(f"{where}, row {number}: column {column!r} is empty; fill it or drop the row")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"{where}, row {number}: column {column!r} holds half a character (surrogate)"
                ) from None
        texts.append(text)
    return texts


def _labels(table: Table, column: str, where: str) -> list[str]:
    """Return the texts of a column that has few different ones: equal texts are one object in memory."""
    known: dict[str, str] = {}
    return [known.setdefault(text, text) for text in _texts(table, column, where)]


def _clients(table: Table, column: str, where: str) -> Iterable[str | None]:
    """Return whose rows these are; nobody's if a column merely has the default name and does not fill every row."""
    try:
        return _labels(table, column, where)
    except UserError:
        if column != Columns.client:
            raise
        return repeat(None)
