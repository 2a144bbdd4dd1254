"""The row format by the columns that there are."""

from collections.abc import Sequence

from fedrouter_sim.examples.formats.chat import COLUMNS, Chat
from fedrouter_sim.examples.formats.columns import InColumns
from fedrouter_sim.examples.formats.pairs import COMPLETION, PROMPT, Pairs
from fedrouter_sim.examples.formats.row_format import Found, RowFormat
from fedrouter_sim.examples.record import Columns
from fedrouter_sim.examples.rows import Rows


class Auto(RowFormat):
    """Columns where there is an instruction, or one is named; else conversations, or prompts and completions."""

    name = "auto"

    def wanted(self, columns: Columns) -> tuple[str, ...]:
        """Return the columns of all forms."""
        return tuple(dict.fromkeys(name for form in (InColumns(), Chat(), Pairs()) for name in form.wanted(columns)))

    def examples(self, rows: Rows, columns: Columns, where: str) -> Sequence[Found]:
        """Make the examples in the form that fits."""
        return _form(rows, columns).examples(rows, columns, where)

    def notes(self, rows: Rows, columns: Columns) -> list[str]:
        """Say which form it is, where it is not the usual one, and what that says."""
        form = _form(rows, columns)
        said = [] if isinstance(form, InColumns) else [f"rows are read as --format {form.name}"]
        return said + form.notes(rows, columns)


def _form(rows: Rows, columns: Columns) -> RowFormat:
    if not columns.instruction and Columns.MAIN not in rows.names:
        if any(name in rows.names for name in COLUMNS):
            return Chat()
        if columns.response == Columns.response and {PROMPT, COMPLETION} <= {*rows.names}:
            return Pairs()
    return InColumns()
