"""File formats, one file each; the suffix of a file names its format."""

from pathlib import Path
from typing import TYPE_CHECKING

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files.opening import COMPRESSED
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
        ".tsv": "fedrouter_sim.examples.files.tsv:Tsv",
        ".parquet": "fedrouter_sim.examples.files.parquet:Parquet",
    },
    own=False,
)


def find_file_format(path: Path, flag: str = "--data") -> "FileFormat":
    """Return the format of a file, by its suffix.

    Raises:
        UserError: there is no such format, or it is compressed in itself.
    """
    suffix, packed = suffixes_of(path.name)
    names = ", ".join(FILE_FORMATS.names)
    if suffix not in FILE_FORMATS.rows:
        raise UserError(f"{flag} {path}: unknown format {(suffix or packed)!r}; use one of {names}")
    if packed and suffix == ".parquet":
        raise UserError(f"{flag} {path}: Parquet is compressed in itself and not read from {packed}; decompress it")
    return FILE_FORMATS.find(suffix)


def suffixes_of(name: str) -> tuple[str, str]:
    """Return the suffix of a file's format and that of its compression, which may be empty, in small letters."""
    path = Path(name.lower())
    packed = path.suffix if path.suffix in COMPRESSED else ""
    return Path(path.stem).suffix if packed else path.suffix, packed


def is_data_file(name: str) -> bool:
    """Return whether a file's name ends as one of a known format."""
    return suffixes_of(name)[0] in FILE_FORMATS.rows
