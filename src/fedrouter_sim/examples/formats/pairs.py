"""Prompts and completions, each a text or turns."""

from collections.abc import Sequence
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.formats.fields import labels_and_clients, unread_notes
from fedrouter_sim.examples.formats.row_format import Found, RowFormat
from fedrouter_sim.examples.formats.turns import holds_turns, turns_of
from fedrouter_sim.examples.record import ASSISTANT, USER, Columns, Example, Turn
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw, ValueRefused, text_of

PROMPT, COMPLETION = "prompt", "completion"


class Pairs(RowFormat):
    """A column of prompts and one of completions, whose last turn is the response."""

    name = "pairs"

    def wanted(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns of both, and those of task and client."""
        return tuple(dict.fromkeys((PROMPT, COMPLETION, columns.task, columns.client)))

    def examples(self, rows: Rows, columns: Columns, where: str) -> Sequence[Found]:
        """Make an example per row; task and client may be absent under their default names."""
        for column in (PROMPT, COMPLETION):
            if column not in rows.values:
                raise UserError(f"{where}: no column {column!r}; it has {', '.join(rows.names)}: give another --format")
        tasks, clients = labels_and_clients(rows, columns, where)
        pairs = zip(rows.values[PROMPT], rows.values[COMPLETION], tasks, clients, strict=False)
        return [_example(*fields) for fields in pairs]

    def notes(self, rows: Rows, columns: Columns) -> list[str]:
        """Say which columns were not read."""
        return unread_notes(rows, columns, self.wanted(columns))


def _example(prompt: Any, completion: Any, task: str | Flaw | None, client: str | Flaw | None) -> Found:
    if isinstance(task, Flaw):
        return task
    if isinstance(client, Flaw):
        return client
    turns: list[Turn] = []
    for column, value, role in ((PROMPT, prompt, USER), (COMPLETION, completion, ASSISTANT)):
        try:
            turns += turns_of(value) if holds_turns(value) else [Turn(role, text_of(value))]
        except ValueRefused as error:
            return Flaw(f"column {column!r} {error}")
        if not turns or not turns[-1].text:
            return Flaw(f"column {column!r} is empty")
    *before, last = turns
    if last.role != ASSISTANT or not before:
        return Flaw(f"column {COMPLETION!r} does not end with the assistant's answer")
    return Example.of_turns(before, last.text, task, client)
