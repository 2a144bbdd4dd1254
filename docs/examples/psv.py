"""A file format of one's own: values with `|` between them whose first line names the columns.

In the package it is a file in `examples/files/` and a row in that table; from Python, `FILE_FORMATS.add(Psv)` will do.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from fedrouter_sim.examples.files import FILE_FORMATS
from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.rows import Rows


class Psv(FileFormat):
    """Values with a bar between them."""

    name = ".psv"

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return Rows.collect(csv.DictReader(file, delimiter="|"), columns)


FILE_FORMATS.add(Psv)
