"""Instruction columns: one column for each field of an example, every text as it stands."""

from collections.abc import Iterable
from itertools import repeat

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.formats.row_format import RowFormat
from fedrouter_sim.examples.record import Columns, Example
from fedrouter_sim.examples.rows import Rows


class InColumns(RowFormat):
    """One column holds the instruction, one the response, and perhaps one the task and one the client."""

    name = "columns"

    def wanted(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns of all fields."""
        return tuple(dict.fromkeys((columns.instruction, columns.response, columns.task, columns.client)))

    def examples(self, rows: Rows, columns: Columns, where: str) -> tuple[Example, ...]:
        """Make an example per row; task and client may be absent under their default names."""
        for flag, column in (("--instruction-column", columns.instruction), ("--response-column", columns.response)):
            if column not in rows.names:
                raise UserError(f"{where}: no column {column!r}; it has {', '.join(rows.names)}: name it with {flag}")
        for flag, column, default in (
            ("--task-column", columns.task, Columns.task),
            ("--client-column", columns.client, Columns.client),
        ):
            if column not in rows.names and column != default:
                raise UserError(f"{where}: no column {column!r}; it has {', '.join(rows.names)}: correct {flag}")
        instructions = _texts(rows, columns.instruction, where)
        responses = _texts(rows, columns.response, where)
        tasks = _labels(rows, columns.task, where) if columns.task in rows.names else repeat(None)
        clients = _clients(rows, columns.client, where) if columns.client in rows.names else repeat(None)
        return tuple(map(Example, instructions, responses, tasks, clients))


def _texts(rows: Rows, column: str, where: str) -> list[str]:
    """Return the values of a column as texts without surrounding space; a row without a text is refused."""
    texts = []
    for number, value in enumerate(rows.values[column], start=1):
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


def _labels(rows: Rows, column: str, where: str) -> list[str]:
    """Return the texts of a column that has few different ones: equal texts are one object in memory."""
    known: dict[str, str] = {}
    return [known.setdefault(text, text) for text in _texts(rows, column, where)]


def _clients(rows: Rows, column: str, where: str) -> Iterable[str | None]:
    """Return whose rows these are; nobody's if a column merely has the default name and does not fill every row."""
    try:
        return _labels(rows, column, where)
    except UserError:
        if column != Columns.client:
            raise
        return repeat(None)
