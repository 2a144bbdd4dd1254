"""JSONL: one JSON object per line."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.files.json_text import DECODER
from fedrouter_sim.examples.files.opening import open_text
from fedrouter_sim.examples.rows import Rows


class Jsonl(FileFormat):
    """One JSON object per line; blank lines are skipped."""

    name = ".jsonl"

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Read line by line."""
        with open_text(path) as file:
            return Rows.collect(json_lines(file), columns)


def json_lines(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the object of each line.

    Raises:
        UserError: a line is not a JSON object; its number is named.
    """
    for number, line in enumerate(lines, start=1):
        if text := line.strip():
            yield json_object(text, number)


def json_object(text: str, number: int) -> dict[str, Any]:
    """Return the object of one line, without the space around it.

    Raises:
        UserError: the line is not a JSON object; its number is named.
    """
    try:
        row, end = DECODER.raw_decode(text)  # at half the time of json.loads
        if end < len(text):
            raise ValueError(f"more text from column {end + 1} on")
    except (ValueError, RecursionError) as error:
        said = str(error) if str(error).startswith("names ") else f"is not JSON ({error})"
        raise UserError(f"line {number} {said}") from None
    if not isinstance(row, dict):
        raise UserError(f"line {number} is not a JSON object")
    return row
