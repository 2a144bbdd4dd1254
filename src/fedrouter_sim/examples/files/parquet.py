"""Parquet, read by pyarrow."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

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
            return Rows(names, {name: table.column(name).to_pylist() for name in columns if name in names})
