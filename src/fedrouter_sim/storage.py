"""Reading JSON, and writing so that a reader never sees half a file or half a folder."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.parsing import check_file, parse_json, read_bounded
from fedrouter_sim.typed import taken

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors of a disk that takes no more: they come where nothing names the file."""


def no_room(error: BaseException) -> str | None:
    """Return what a disk that takes no more says, if that is what an error comes from."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return error.strerror
    found = re.search(r"\(os error (\d+)\)", str(error))  # of safetensors, which is written in Rust
    number = int(found[1]) if found else 0
    return os.strerror(number) if number in _NO_ROOM else None


MOST_LINES_BYTES = 2**36  # of a file that is read line by line


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Have what could not be written named."""
    try:
        yield
    except Exception as error:
        if said := no_room(error):
            raise UserError(f"{name}: cannot be written ({said}); make room, or choose another place") from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: to a temporary name beside it, then one rename.

    Raises:
        UserError: the disk is full.
    """
    with _named(str(path)):
        _write_text(path, text)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
    ) as file:
        unfinished = Path(file.name)
        try:
            file.write(text)
            file.flush()
        except BaseException:
            unfinished.unlink()
            raise
    # Temporary files are private to the owner; the finished file follows the user's umask like any other.
    umask = os.umask(0)
    os.umask(umask)
    unfinished.chmod(0o666 & ~umask)
    unfinished.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing, damaged, or holds something else; the message ends with the remedy.
    """
    try:
        value = parse_json(read_bounded(path))
    except OSError as error:
        raise UserError(f"{path}: not readable ({error.strerror}); {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable ({error}); {remedy}") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: not a JSON object; {remedy}")
    return value


def read_json_lines(path: Path, keys: Mapping[str, Any], remedy: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects of a file, one per line, each of which has all of `keys`, of their types (`typed`).

    Numbers may be NaN or infinite, as Python writes a loss that is none.

    Raises:
        UserError: the file is missing or damaged; the message ends with the remedy.
    """
    try:
        check_file(path, MOST_LINES_BYTES)
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield _line(line, number, keys)
    except OSError as error:
        raise UserError(f"{path}: damaged ({error.strerror}); {remedy}") from None
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); {remedy}") from None


def _line(line: str, number: int, keys: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object of a line, if it has what it should.

    Raises:
        ValueError: it has not.
    """
    try:
        record = parse_json(line, constants=True)
        if isinstance(record, dict) and all(key in record for key in keys):
            return record | {key: taken(record, key, kind) for key, kind in keys.items()}
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    raise ValueError(f"line {number} lacks one of {', '.join(keys)}")


def refuse_links(folder: Path) -> None:
    """Refuse a folder in which anything is neither a file nor a folder, at any depth.

    A link would be followed to what is not the folder's own, for reading or for writing, and a pipe waited for.

    Raises:
        UserError: there is such a thing; the message names it.
    """
    waiting = [str(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not entry.is_file(follow_symlinks=False):
                        what = "a link" if entry.is_symlink() else "no regular file"
                        raise UserError(f"{entry.path}: is {what}, and none is followed within a folder; remove it")
        except OSError as error:
            raise UserError(f"{error.filename}: cannot be listed ({error.strerror}); correct its permissions") from None


def refuse_existing(out: Path, overwrite: bool, mark: str, kind: str) -> None:
    """Refuse a folder that is there already, before any work is done.

    Args:
        out: the value of --out.
        overwrite: whether it may be replaced.
        mark: a file that every folder of this kind has.
        kind: what the folder is to be, with its article: 'a run folder'.

    Raises:
        UserError: it exists and is not to be overwritten, or overwriting would delete what is not of this kind.
    """
    if not out.exists():
        return
    if not overwrite:
        raise UserError(f"--out {out}: is there already; choose another name or give --overwrite")
    if not (out / mark).is_file():
        raise UserError(f"--out {out}: is not {kind}, so --overwrite leaves it alone; choose another name")


@contextmanager
def new_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` by one rename at the end, or vanishes on an exception.

    An existing `path` is replaced only at the end, and only with `overwrite`.

    Raises:
        FileExistsError: `path` exists and `overwrite` is off.
        UserError: the disk is full.
    """
    with _named(f"--out {path}"), _new_folder(path, overwrite) as folder:
        yield folder


@contextmanager
def _new_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    if path.exists() and not overwrite:
        raise FileExistsError(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield building
        building.chmod(0o755)
        if path.exists():
            if not overwrite:
                raise FileExistsError(path)
            old = building.with_name(building.name + ".old")
            path.rename(old)
            building.rename(path)
            shutil.rmtree(old)
        else:
            building.rename(path)
    finally:
        shutil.rmtree(building, ignore_errors=True)
