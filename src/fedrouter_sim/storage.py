"""Reading JSON, and writing so that a reader never sees half a file."""

import errno
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import MayPass, UserError, noted
from fedrouter_sim.parsing import check_file, parse_json, read_bounded
from fedrouter_sim.typed import taken

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS, errno.EIO}
"""Errors of a disk that takes no more: they come where nothing names the file."""

_UNFINISHED = ".tmp"  # what names of temporary files end with


class NoRoom(MayPass):
    """What is to be written finds no room: it may find some later.

    Args:
        name: what cannot be written.
        said: what the disk says.
        more: what was noted on the way.
    """

    def __init__(self, name: str, said: str, more: str = "") -> None:
        super().__init__(f"{name}: cannot be written ({said}); make room, or choose another place{more}")
        self.said, self.more = said, more


def no_room(error: BaseException) -> str | None:
    """Return what a disk that takes no more says, if that is what an error comes from."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return error.strerror
    found = re.search(r"\(os error (\d+)\)", str(error))  # of safetensors, which is written in Rust
    number = int(found[1]) if found else 0
    return os.strerror(number) if number in _NO_ROOM else None


MOST_LINES_BYTES = 2**36  # of a file that is read line by line


@contextmanager
def named(name: str) -> Iterator[None]:
    """Have what could not be written named.

    Raises:
        NoRoom: the disk is full.
    """
    try:
        yield
    except NoRoom as error:  # of a file below it
        raise NoRoom(name, error.said, error.more + noted(error)) from error
    except UserError:
        raise
    except Exception as error:
        if said := no_room(error):
            raise NoRoom(name, said, noted(error)) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file as `write_bytes` does.

    Raises:
        NoRoom: the disk is full.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, data: bytes, sync: bool = True) -> None:
    """Write a file atomically: to a temporary name beside it, to the disk, then one rename.

    What a process that died in the middle left beside it is removed.

    Args:
        path: the file; folders are made for it.
        data: its bytes.
        sync: wait until the disk has them; else the file is whole after the death of this process, and may not be after
            that of the machine.

    Raises:
        NoRoom: the disk is full.
    """
    with named(str(path)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for left in path.parent.glob(f".{escape(path.name)}.*{_UNFINISHED}"):
                _remove_if_dead(left)
            while not _written(path, data, sync):
                pass
        except OSError as error:
            error.filename, error.filename2 = str(path), None  # not the temporary one's: nobody asked for that
            raise


def _written(path: Path, data: bytes, sync: bool) -> bool:
    """Write a file; False if another process took the temporary one for that of a dead one before it was locked."""
    with tempfile.NamedTemporaryFile(
        "wb", dir=path.parent, prefix=f".{path.name}.", suffix=_UNFINISHED, delete=False
    ) as file:
        unfinished = Path(file.name)
        _lock(file.fileno(), wait=True)
        try:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
            # Temporary files are private to the owner; the finished file follows the user's umask like any other.
            umask = os.umask(0)
            os.umask(umask)
            if not unfinished.exists():
                return False
            unfinished.chmod(0o666 & ~umask)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
    return True


def _remove_if_dead(path: Path) -> None:
    """Remove a temporary file that no living process holds."""
    with suppress(OSError), path.open("rb") as file:
        if _lock(file.fileno()):
            path.unlink()


def _lock(descriptor: int, wait: bool = False) -> bool:
    """Lock an open file for as long as this process has it open; False if another has it. Not all disks can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return wait  # such a disk says of none whether it lives
    return True


def sync_files(paths: Iterable[Path]) -> None:
    """Wait until the disk has these files, or the entries of these folders."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """Return a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


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
