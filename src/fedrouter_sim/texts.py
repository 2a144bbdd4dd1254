"""Texts out of bytes: UTF-8, with or without the mark that some programs begin it with (BOM)."""

import codecs
import io
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TextIO

from fedrouter_sim.errors import UserError

_MARKED = (  # longer marks first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_utf8(path: Path) -> str:
    """Read a whole text file.

    Raises:
        OSError: it cannot be read.
        UnicodeDecodeError: it is not UTF-8, nor what a mark at its beginning says.
    """
    with path.open("rb") as file, as_text(file) as text:
        return text.read()


def as_text(source: IO[bytes], newline: str | None = None) -> TextIO:
    """Return the text of bytes as a stream: UTF-8, or what a mark at their beginning says."""
    buffered = io.BufferedReader(source)  # type: ignore[type-var]
    start = buffered.peek(4)[:4]
    encoding = next((name for mark, name in _MARKED if start.startswith(mark)), "utf-8-sig")
    return io.TextIOWrapper(buffered, encoding, newline=newline)


def utf8_lines(source: IO[bytes]) -> Iterator[str]:
    """Yield the lines of a stream as they come.

    Raises:
        UserError: a line is not UTF-8; it is named, and the lines before it have been yielded.
    """
    for number, line in enumerate(source, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            found = line[error.start]
            raise UserError(
                f"line {number}, byte {error.start + 1} is 0x{found:02x}, which is not UTF-8; give UTF-8 text"
            ) from None
        yield text


def undecodable(source: IO[bytes]) -> UserError:
    """Return the refusal of bytes that are not UTF-8, with their place; the caller puts the file's name in front."""
    start = 0
    for number, line in enumerate(source, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            found = line[error.start]
            at = start + error.start + 1
            return UserError(f"byte {at} (line {number}) is 0x{found:02x}, which is not UTF-8; save the file as UTF-8")
        start += len(line)
    return UserError("is not the text that its first bytes announce; save the file as UTF-8")


def half_character(text: str) -> bool:
    """Return whether a text holds a surrogate, which is half a character and cannot be written."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
