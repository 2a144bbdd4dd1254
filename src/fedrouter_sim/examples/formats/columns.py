"""Instruction columns: one column or a few for each field of an example, every text as it stands."""

from collections import Counter
from collections.abc import Sequence

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.formats.fields import filled, is_empty, labels_and_clients, text_or_flaw, unread_notes
from fedrouter_sim.examples.formats.row_format import Found, RowFormat
from fedrouter_sim.examples.record import Columns, Example
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw, is_nested, text_of

_LIKELY = {"instruction": ("prompt", "question", "text"), "response": ("output", "completion", "answer", "target")}
"""What other data sets call the fields."""


class InColumns(RowFormat):
    """One column or several hold the instruction, one the response, and perhaps one the task and one the client."""

    name = "columns"

    def wanted(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns of all fields."""
        return tuple(dict.fromkeys((*columns.of_instruction(), columns.response, columns.task, columns.client)))

    def examples(self, rows: Rows, columns: Columns, where: str) -> Sequence[Found]:
        """Make an example per row; task and client may be absent under their default names."""
        twice = [name for name, times in Counter((*columns.of_instruction(), columns.response)).items() if times > 1]
        if twice:
            raise UserError(f"{where}: column {twice[0]!r} is named twice for instruction and response; name it once")
        for column in columns.instruction or (Columns.MAIN,):
            _require(rows, column, "instruction", columns.instruction == (), where)
        _require(rows, columns.response, "response", columns.response == Columns.response, where)
        instructions = _joined(rows, _instruction_columns(rows, columns))
        responses = filled(rows.values[columns.response], columns.response, text_of)
        tasks, clients = labels_and_clients(rows, columns, where)
        return list(map(_example, instructions, responses, tasks, clients))

    def notes(self, rows: Rows, columns: Columns) -> list[str]:
        """Say which columns made the instruction, where there are several, and which were not read."""
        made_of = _instruction_columns(rows, columns)
        notes = []
        if len(made_of) > 1:
            notes.append(f"the instruction is made of the columns {', '.join(made_of)}; --instruction-column chooses")
        return notes + unread_notes(rows, columns, {*made_of, columns.response})


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
        or (name in rows.names and not is_empty(rows, name) and not any(map(is_nested, rows.values[name])))
    )


def _joined(rows: Rows, names: Sequence[str]) -> list[str | Flaw]:
    """Return the texts of several columns, a blank line between them; a row that fills none of them is a flaw."""
    if len(names) == 1:
        return filled(rows.values[names[0]], names[0], text_of)
    empty = Flaw(f"columns {', '.join(map(repr, names))} are empty")
    found: list[str | Flaw] = []
    for values in zip(*(rows.values[name] for name in names), strict=True):
        parts = [text_or_flaw(value, name, text_of) for value, name in zip(values, names, strict=True)]
        flaw = next((part for part in parts if isinstance(part, Flaw)), None)
        found.append(flaw or "\n\n".join(filter(None, map(str, parts))) or empty)
    return found


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
