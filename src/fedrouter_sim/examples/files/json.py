"""JSON: a list of objects, also as the one list of an object, or an object of columns."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.files.json_text import DECODER
from fedrouter_sim.examples.files.jsonl import json_lines
from fedrouter_sim.examples.files.opening import open_text
from fedrouter_sim.examples.rows import Rows


class Json(FileFormat):
    """A list of JSON objects. A file of this name may also hold one object per line."""

    name = ".json"

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Read the whole file."""
        with open_text(path) as file:
            text = file.read()
        return Rows.collect(_objects(text), columns)


def _objects(text: str) -> Iterable[dict[str, Any]]:
    begins = len(text) - len(text.lstrip())
    try:
        value, end = DECODER.raw_decode(text, begins)
    except ValueError as error:
        if str(error).startswith("names ") and text.startswith("[", begins):
            raise UserError(f"an object of its list {error}") from None
        if getattr(error, "lineno", 1) > 1 or text.startswith("[", begins):
            raise UserError(f"is not JSON: {error}") from None
        return json_lines(text.split("\n"))  # which names the line
    if rest := text[end:].strip():
        if isinstance(value, dict) and "\n" not in text[begins:end].strip() and rest.startswith("{"):
            return json_lines(text.split("\n"))  # one object per line, under this name
        line = text.count("\n", 0, len(text) - len(text[end:].lstrip())) + 1
        raise UserError(
            f"has more text after its first value, from line {line} on; put all objects into one list: [{{...}}, ...]"
        )
    if isinstance(value, dict):
        return _rows_of_object(value)
    return _list_of_objects(value, "")


def _list_of_objects(value: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise UserError("is not a list of JSON objects")
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise UserError(f"{what}row {number} is {type(row).__name__}, not a JSON object; give a list of objects")
    return value


def _rows_of_object(value: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a file that is one object: those of its list of objects, of its columns, or itself."""
    lists = {key: own for key, own in value.items() if isinstance(own, list)}
    of_objects = [key for key, own in lists.items() if own and all(isinstance(row, dict) for row in own)]
    if len(of_objects) == 1 and len(lists) == 1:
        return lists[of_objects[0]]
    if of_objects:
        raise UserError(
            f"is an object of several lists ({', '.join(lists)}); give one list of objects, or a file for each share"
        )
    if len(lists) == len(value) > 1:
        if len({len(own) for own in lists.values()}) > 1:
            lengths = ", ".join(f"{key} {len(own)}" for key, own in lists.items())
            raise UserError(f"is an object of columns that are not equally long ({lengths})")
        return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    if lists or any(isinstance(own, dict) for own in value.values()):
        raise UserError(f"is an object without a list of objects; it has {', '.join(value)}; give a list of objects")
    return [value] if value else []
