"""File formats, one file each; the suffix of a file names its format."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedrouter_sim.errors import UserError
from fedrouter_sim.tables import Table

if TYPE_CHECKING:
    from fedrouter_sim.examples.files.file_format import FileFormat

FILE_FORMATS: "Table[FileFormat]" = Table(
    kind="file format",
    flag="--data",
    base="fedrouter_sim.examples.files.file_format:FileFormat",
    rows={
        ".jsonl": "fedrouter_sim.examples.files.jsonl:Jsonl",
        ".json": "fedrouter_sim.examples.files.json:Json",
        ".csv": "fedrouter_sim.examples.files.csv:Csv",
        ".parquet": "fedrouter_sim.examples.files.parquet:Parquet",
    },
    own=False,
)


def find_file_format(path: Path) -> "FileFormat":
    """Return the format of a file, by its suffix.

    Raises:
        UserError: there is no such format.
    """
    if path.suffix not in FILE_FORMATS.rows:
        names = ", ".join(FILE_FORMATS.names)
        raise UserError(f"--data {path}: unknown format {path.suffix!r}; use one of {names}")
    return FILE_FORMATS.find(path.suffix)
