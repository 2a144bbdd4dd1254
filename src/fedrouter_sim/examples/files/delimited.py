"""Text with a separator and a header: what CSV and TSV share."""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.files.opening import open_text
from fedrouter_sim.examples.rows import Rows

_EXCEL = re.compile(r"sep=([,;\t|])")
_SEPARATORS = {",": "','", ";": "';'", "\t": "a tab", "|": "'|'"}


class Delimited(FileFormat):
    """Values with a separator between them; the first line names the columns."""

    separator: ClassVar[str]
    """The separator, unless it does not stand in the header and another one does."""

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Read row by row."""
        csv.field_size_limit(sys.maxsize)  # a text may be of any length
        with open_text(path, newline="") as file:
            lines = _without_nul(file)
            begin: list[str] = []  # up to the first line that is not blank
            while not "".join(begin).strip() and (line := next(lines, "")):
                begin.append(line)
            said = _EXCEL.fullmatch(begin[-1].strip()) if begin else None
            if said:  # a line of Excel's own, before the header
                begin = []
            separator = said[1] if said else self._separator_of(begin[-1] if begin else "")
            note = f"is read with {_SEPARATORS[separator]} between the columns"
            rows = Rows.collect(_rows(chain(begin, lines), separator), columns)
            return rows if separator == self.separator else Rows(rows.names, rows.values, (note,))

    def _separator_of(self, header: str) -> str:
        if self.separator in header:
            return self.separator
        found = max(_SEPARATORS, key=lambda separator: _fields(header, separator))
        return found if _fields(header, found) > 1 else self.separator


def _fields(line: str, separator: str) -> int:
    return len(next(csv.reader([line], delimiter=separator), []))


def _without_nul(lines: Iterator[str]) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise UserError(f"line {number} holds a NUL byte, which no text has; save the file as UTF-8")
        yield line


def _rows(lines: Iterator[str], separator: str) -> Iterator[dict[str, Any]]:
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=separator != "\t")
    try:
        header = [name.strip() for name in next(filter(None, reader), [])]
        if twice := [name for name, times in Counter(header).items() if times > 1]:
            raise UserError(f"the header names column {twice[0]!r} twice; rename or remove one of them")
        for fields in filter(None, reader):  # blank lines are none
            if len(fields) != len(header):
                more = "more" if len(fields) > len(header) else "fewer"
                raise UserError(
                    f"line {reader.line_num} has {more} fields than the header names ({len(fields)} for {len(header)})"
                )
            yield dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise UserError(
            f"line {reader.line_num}: {error}; put texts with quotation marks into quotation marks"
        ) from None
