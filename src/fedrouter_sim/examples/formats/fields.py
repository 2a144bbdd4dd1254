"""What all row formats read alike: texts of columns, labels, clients, and which columns were not read."""

from collections.abc import Callable, Collection, Iterable
from itertools import repeat
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import BESIDE_INSTRUCTION, Columns
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw, ValueRefused, label_of, text_of

_MOST_NAMED = 5  # unread columns

Labels = Iterable[str | Flaw | None]


def labels_and_clients(rows: Rows, columns: Columns, where: str) -> tuple[Labels, Labels]:
    """Return the task and the client of every row; None where there is no such column.

    Raises:
        UserError: a column that is not called as usual is missing.
    """
    for flag, column, default in (
        ("--task-column", columns.task, Columns.task),
        ("--client-column", columns.client, Columns.client),
    ):
        if column not in rows.names and column != default:
            raise UserError(f"{where}: no column {column!r}; it has {', '.join(rows.names)}: correct {flag}")
    tasks = _labels(rows, columns.task) if columns.task in rows.names else repeat(None)
    clients = _labels(rows, columns.client) if _names_clients(rows, columns) else repeat(None)
    return tasks, clients


def unread_notes(rows: Rows, columns: Columns, read: Collection[str]) -> list[str]:
    """Say what of the rows was not read.

    Args:
        rows: as they were read.
        columns: which column holds which field.
        read: the columns that were read beside task and client.
    """
    notes = []
    if columns.client in rows.names and not _names_clients(rows, columns):
        notes.append(f"column {columns.client!r} does not fill every row, so that no row has a client")
    read = {*read, columns.task, columns.client}
    unread = [name or "(no name)" for name in rows.names if name not in read and not is_empty(rows, name)]
    unread.sort(key=lambda name: name not in BESIDE_INSTRUCTION)  # what may change the meaning comes first
    if unread:
        more = f" and {len(unread) - _MOST_NAMED} more" if len(unread) > _MOST_NAMED else ""
        notes.append(f"columns not read: {', '.join(unread[:_MOST_NAMED])}{more}")
    return notes


def is_empty(rows: Rows, column: str) -> bool:
    """Return whether a column that was read has no text in any row; what was not read may have."""
    return column in rows.values and not any(map(_said, rows.values[column]))


def _said(value: Any) -> bool:
    return text_or_flaw(value, "", text_of) != ""


def text_or_flaw(value: Any, column: str, convert: Callable[[Any], str]) -> str | Flaw:
    """Return a value of a column as a text, or why it is none."""
    try:
        return convert(value)
    except ValueRefused as error:
        return Flaw(f"column {column!r} {error}")


def filled(values: Iterable[Any], column: str, convert: Callable[[Any], str]) -> list[str | Flaw]:
    """Return the values of a column that every row has to fill."""
    empty = Flaw(f"column {column!r} is empty")
    return [text_or_flaw(value, column, convert) or empty for value in values]


def _labels(rows: Rows, column: str) -> list[str | Flaw]:
    """Return the labels of a column, which has few different ones: equal ones are one object in memory."""
    known: dict[str | Flaw, str | Flaw] = {}
    return [known.setdefault(text, text) for text in filled(rows.values[column], column, label_of)]


def _names_clients(rows: Rows, columns: Columns) -> bool:
    """Return whether rows name clients: not if a column merely has the default name and does not fill every row."""
    if columns.client not in rows.names:
        return False
    if columns.client != Columns.client:
        return True
    return not any(isinstance(text, Flaw) for text in filled(rows.values[columns.client], columns.client, label_of))
