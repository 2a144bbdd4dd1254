"""CSV with a header."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.rows import Rows


class Csv(FileFormat):
    """Comma-separated values; the first line names the columns."""

    name = ".csv"

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Read row by row."""
        return Rows.collect(_rows(path), columns)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row:
                raise UserError(f"--data {path}: line {reader.line_num} has more fields than the header names")
            yield row
