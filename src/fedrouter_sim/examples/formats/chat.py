"""Conversations: a column of turns, as chat models are tuned on."""

from collections.abc import Sequence
from itertools import repeat

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.formats.fields import labels_and_clients, unread_notes
from fedrouter_sim.examples.formats.row_format import Found, RowFormat
from fedrouter_sim.examples.formats.turns import turns_of, with_system
from fedrouter_sim.examples.record import ASSISTANT, SYSTEM, USER, Columns, Example, Turn
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw, ValueRefused, text_of

COLUMNS = ("messages", "conversations", "conversation")
_MOST_NAMED = 4  # turns of a conversation in a message


class Chat(RowFormat):
    """A column of turns: the last answer is the response, and all before it the instruction."""

    name = "chat"

    def wanted(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns that may hold turns, and those of system, task and client."""
        return tuple(dict.fromkeys((*(columns.instruction or COLUMNS), SYSTEM, columns.task, columns.client)))

    def examples(self, rows: Rows, columns: Columns, where: str) -> Sequence[Found]:
        """Make the examples of each conversation; task and client may be absent under their default names."""
        column = self._column(rows, columns, where)
        systems = rows.values.get(SYSTEM) or repeat(None)
        tasks, clients = labels_and_clients(rows, columns, where)
        return [
            self._of_row(column, *fields) for fields in zip(rows.values[column], systems, tasks, clients, strict=False)
        ]

    def notes(self, rows: Rows, columns: Columns) -> list[str]:
        """Say which columns were not read."""
        return unread_notes(rows, columns, self.wanted(columns))

    def _column(self, rows: Rows, columns: Columns, where: str) -> str:
        if columns.response != Columns.response:
            raise UserError(
                f"{where}: --response-column {columns.response}: --format {self.name} takes the response from the "
                "turns; leave the flag out"
            )
        names = columns.instruction or COLUMNS
        found = next((name for name in names if name in rows.values), None)
        if found is None:
            raise UserError(
                f"{where}: no column {names[0]!r}; it has {', '.join(rows.names)}: name that of the turns with "
                "--instruction-column"
            )
        return found

    def _of_row(
        self, column: str, value: object, system: object, task: str | Flaw | None, client: str | Flaw | None
    ) -> Found:
        if isinstance(task, Flaw):
            return task
        if isinstance(client, Flaw):
            return client
        try:
            turns, rules = turns_of(value), text_of(system)
        except ValueRefused as error:
            return Flaw(f"column {column!r} {error}")
        turns = with_system(turns, rules)
        places = [i for i, turn in enumerate(turns) if turn.role == ASSISTANT and _is_asked(turns[:i])]
        if not places:
            roles = ", ".join(turn.role for turn in turns[:_MOST_NAMED]) or "none"
            return Flaw(f"column {column!r} holds no answer of the assistant to a user (turns of: {roles})")
        return self._chosen([Example.of_turns(turns[:i], turns[i].text, task, client) for i in places])

    def _chosen(self, found: Sequence[Example]) -> Found:
        return found[-1]


class ChatEach(Chat):
    """A column of turns: every answer is the response of an example of its own, and all before it the instruction."""

    name = "chat-each"

    def _chosen(self, found: Sequence[Example]) -> Found:
        return tuple(found)


def _is_asked(turns: Sequence[Turn]) -> bool:
    return any(turn.role == USER for turn in turns)
