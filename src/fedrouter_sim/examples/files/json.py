"""JSON: a list of objects."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.files.jsonl import json_lines
from fedrouter_sim.examples.rows import Rows


class Json(FileFormat):
    """A list of JSON objects. A file of this name may also hold one object per line."""

    name = ".json"

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Read the whole list, or line by line."""
        return Rows.collect(_objects(path), columns)


def _objects(path: Path) -> Iterable[dict[str, Any]]:
    text = path.read_text(encoding="utf-8-sig")
    if not text.lstrip().startswith("["):
        return json_lines(path)  # one object per line, under this name
    rows = json.loads(text)
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"--data {path}: is not a list of JSON objects")
    return list(rows)
