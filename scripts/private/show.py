"""Tables in the terminal, and between marks in a document."""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from fedrouter_sim.storage import write_text

Rows = Sequence[Sequence[str]]


def table(title: str, columns: Sequence[str], rows: Rows) -> Table:
    """Return a table for the terminal."""
    shown = Table(title=title, title_justify="left")
    for place, column in enumerate(columns):
        shown.add_column(column, justify="left" if place == 0 else "right")
    for row in rows:
        shown.add_row(*row)
    return shown


def write_table(path: Path, name: str, columns: Sequence[str], rows: Rows) -> None:
    """Put a table into a document: between its marks, or at the end where it has none yet."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    begin, end = f"<!-- privacy {name} -->", f"<!-- end of privacy {name} -->"
    lines = ["| " + " | ".join(columns) + " |", "|---" + "|---:" * (len(columns) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    block = "\n".join([begin, "", *lines, "", end])
    before, found, rest = text.partition(begin)
    write_text(path, before + block + rest.partition(end)[2] if found else f"{text.rstrip()}\n\n{block}\n")
