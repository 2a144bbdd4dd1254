"""Tables of what a script measured: in the terminal, and between a script's marks in a document."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import write_text

Rows = Sequence[Sequence[str]]


def table(title: str, columns: Sequence[str], rows: Rows) -> Table:
    """Return a table for the terminal: the first column to the left, the others to the right."""
    shown = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        shown.add_column(column, justify="left" if place == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    return shown


def markdown(columns: Sequence[str], rows: Rows, names: int = 1) -> list[str]:
    """Return a table as lines of Markdown: the first `names` columns to the left, the others to the right."""
    rule = "|" + "---|" * names + "---:|" * (len(columns) - names)
    return ["| " + " | ".join(columns) + " |", rule, *("| " + " | ".join(row) + " |" for row in rows)]


def write_between_marks(path: Path, study: str, parts: Mapping[str, Sequence[str]]) -> None:
    """Put lines into a document, between the marks of each part of a study; at its end where it has none yet.

    Args:
        path: the document, which need not be there.
        study: what was measured, and
        parts: its parts by name: marks are `<!-- STUDY PART -->` and `<!-- end of STUDY PART -->`.

    Raises:
        UserError: the document has the first mark of a part and not its last.
    """
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for part, lines in parts.items():
        begin, end = f"<!-- {study} {part} -->", f"<!-- end of {study} {part} -->"
        block = "\n".join([begin, "", *lines, "", end])
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if found and not ended:
            raise UserError(f"{path}: has {begin} without {end}; put that where what is to be replaced ends")
        text = before + block + after if found else f"{text.rstrip()}\n\n{block}\n".lstrip()
    write_text(path, text)
