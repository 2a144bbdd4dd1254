"""Parquet, read by pyarrow."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files.file_format import FileFormat
from fedrouter_sim.examples.rows import Rows


class Parquet(FileFormat):
    """Apache Parquet."""

    name = ".parquet"

    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Read the wanted columns alone."""
        from pyarrow.parquet import ParquetFile  # slow to import, and only needed here

        with ParquetFile(path) as file:
            names = file.schema_arrow.names
            if twice := [name for name, times in Counter(names).items() if times > 1]:
                raise UserError(f"names column {twice[0]!r} twice; rename or remove one of them")
            if not file.metadata.num_rows:
                return Rows((), {})
            table = file.read(columns=[name for name in columns if name in names])
            return Rows(names, {name: _values(table.column(name)) for name in columns if name in names})


def _values(column: Any) -> list[Any]:
    """Return the values of a column; numbers of less than 64 bits as they were written, 0.1 and not 0.10000000149."""
    from pyarrow import types

    if not (types.is_float16(column.type) or types.is_float32(column.type)):
        return list(column.to_pylist())
    short = np.float16 if types.is_float16(column.type) else np.float32
    return [None if value is None else float(str(short(value))) for value in column.to_pylist()]
