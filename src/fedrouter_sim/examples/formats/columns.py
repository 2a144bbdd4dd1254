"""Instruction columns: one column or a few for each field of an example, every text as it stands."""

from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.formats.row_format import RowFormat
from fedrouter_sim.examples.record import BESIDE_INSTRUCTION, Columns, Example
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw, ValueRefused, is_nested, label_of, text_of

_LIKELY = {"instruction": ("prompt", "question", "text"), "response": ("output", "completion", "answer", "target")}
"""What other data sets call the fields."""

_MOST_NAMED = 5  # unread columns

_Converted = list[str | Flaw]


class InColumns(RowFormat):
    """One column or several hold the instruction, one the response, and perhaps one the task and one the client."""

    name = "columns"

    def wanted(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns of all fields."""
        return tuple(dict.fromkeys((*columns.of_instruction(), columns.response, columns.task, columns.client)))

    def examples(self, rows: Rows, columns: Columns, where: str) -> Sequence[Example | Flaw]:
        """Make an example per row; task and client may be absent under their default names."""
        for column in columns.instruction or (Columns.MAIN,):
            _require(rows, column, "instruction", columns.instruction == (), where)
        _require(rows, columns.response, "response", columns.response == Columns.response, where)
        for flag, column, default in (
            ("--task-column", columns.task, Columns.task),
            ("--client-column", columns.client, Columns.client),
        ):
            if column not in rows.names and column != default:
                raise UserError(f"{where}: no column {column!r}; it has {', '.join(rows.names)}: correct {flag}")
        instructions = _joined(rows, _instruction_columns(rows, columns))
        responses = _filled(rows.values[columns.response], columns.response, text_of)
        tasks = _labels(rows, columns.task) if columns.task in rows.names else repeat(None)
        clients = _labels(rows, columns.client) if _names_clients(rows, columns) else repeat(None)
        return list(map(_example, instructions, responses, tasks, clients))

    def notes(self, rows: Rows, columns: Columns) -> list[str]:
        """Say which columns made the instruction, where there are several, and which were not read."""
        made_of = _instruction_columns(rows, columns)
        notes = []
        if len(made_of) > 1:
            notes.append(f"the instruction is made of the columns {', '.join(made_of)}; --instruction-column chooses")
        if columns.client in rows.names and not _names_clients(rows, columns):
            notes.append(f"column {columns.client!r} does not fill every row, so that no row has a client")
        read = {*made_of, columns.response, columns.task, columns.client}
        unread = [name or "(no name)" for name in rows.names if name not in read and not _is_empty(rows, name)]
        unread.sort(key=lambda name: name not in BESIDE_INSTRUCTION)  # what may change the meaning comes first
        if unread:
            more = f" and {len(unread) - _MOST_NAMED} more" if len(unread) > _MOST_NAMED else ""
            notes.append(f"columns not read: {', '.join(unread[:_MOST_NAMED])}{more}")
        return notes


def _require(rows: Rows, column: str, field: str, by_default: bool, where: str) -> None:
    if column in rows.names:
        return
    flag = f"--{field}-column"
    likely = [name for name in _LIKELY[field] if name in rows.names] if by_default else []
    remedy = f"did you mean {flag} {likely[0]}?" if len(likely) == 1 else f"name it with {flag}"
    raise UserError(f"{where}: no column {column!r}; it has {', '.join(rows.names)}: {remedy}")


def _instruction_columns(rows: Rows, columns: Columns) -> tuple[str, ...]:
    """Return the columns that make the instruction: those beside the main one only where they are there and texts."""
    if columns.instruction:
        return columns.instruction
    return tuple(
        name
        for name in columns.of_instruction()
        if name == Columns.MAIN
        or (name in rows.names and not _is_empty(rows, name) and not any(map(is_nested, rows.values[name])))
    )


def _is_empty(rows: Rows, column: str) -> bool:
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


def _filled(values: Iterable[Any], column: str, convert: Callable[[Any], str]) -> _Converted:
    """Return the values of a column that every row has to fill."""
    empty = Flaw(f"column {column!r} is empty")
    return [text_or_flaw(value, column, convert) or empty for value in values]


def _joined(rows: Rows, names: Sequence[str]) -> _Converted:
    """Return the texts of several columns, a blank line between them; a row that fills none of them is a flaw."""
    if len(names) == 1:
        return _filled(rows.values[names[0]], names[0], text_of)
    empty = Flaw(f"columns {', '.join(map(repr, names))} are empty")
    found: _Converted = []
    for values in zip(*(rows.values[name] for name in names), strict=True):
        parts = [text_or_flaw(value, name, text_of) for value, name in zip(values, names, strict=True)]
        flaw = next((part for part in parts if isinstance(part, Flaw)), None)
        found.append(flaw or "\n\n".join(filter(None, map(str, parts))) or empty)
    return found


def _labels(rows: Rows, column: str) -> _Converted:
    """Return the labels of a column, which has few different ones: equal ones are one object in memory."""
    known: dict[str | Flaw, str | Flaw] = {}
    return [known.setdefault(text, text) for text in _filled(rows.values[column], column, label_of)]


def _names_clients(rows: Rows, columns: Columns) -> bool:
    """Return whether rows name clients: not if a column merely has the default name and does not fill every row."""
    if columns.client not in rows.names:
        return False
    if columns.client != Columns.client:
        return True
    return not any(isinstance(text, Flaw) for text in _filled(rows.values[columns.client], columns.client, label_of))


def _example(
    instruction: str | Flaw, response: str | Flaw, task: str | Flaw | None, client: str | Flaw | None
) -> Example | Flaw:
    if isinstance(instruction, Flaw):
        return instruction
    if isinstance(response, Flaw):
        return response
    if isinstance(task, Flaw):
        return task
    return client if isinstance(client, Flaw) else Example(instruction, response, task, client)
