"""Opening a data file as bytes or as text, compressed or not."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from fedrouter_sim.errors import UserError
from fedrouter_sim.texts import as_text, undecodable

COMPRESSED = (".gz", ".zst")
"""Suffixes that may follow that of a text format."""


@contextmanager
def open_text(path: Path, newline: str | None = None) -> Iterator[TextIO]:
    """Open a file as text: UTF-8, or UTF-16 with the mark that says so; decompressed where its suffix says so.

    Raises:
        UserError: while it is read: the text is in no such encoding, or the archive is damaged.
        OSError: it cannot be opened.
    """
    try:
        with open_bytes(path) as source, as_text(source, newline) as file:
            yield file
    except UnicodeDecodeError:
        with open_bytes(path) as source:
            raise undecodable(source) from None


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file as bytes, decompressed where its suffix says so.

    Raises:
        UserError: while it is read: the archive is damaged.
        OSError: it cannot be opened.
    """
    suffix = path.suffix.lower()
    try:
        with _opened(path, suffix) as source:
            yield source
    except (EOFError, OSError, ValueError, zlib.error) as error:
        if suffix not in COMPRESSED or isinstance(error, UnicodeError | FileNotFoundError | PermissionError):
            raise
        raise UserError(f"is no whole {suffix} archive ({error}); copy or make it again") from None


def _opened(path: Path, suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return gzip.open(path)  # type: ignore[return-value]
    if suffix == ".zst":
        import pyarrow  # slow to import, and only needed here

        return pyarrow.CompressedInputStream(path.open("rb"), "zstd")  # type: ignore[no-any-return]
    return path.open("rb", buffering=0)
