"""Writing so that a reader never sees half a file or half a folder."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: to a temporary name beside it, then one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
    ) as file:
        unfinished = Path(file.name)
        try:
            file.write(text)
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


@contextmanager
def new_folder(path: Path, overwrite: bool) -> Iterator[Path]:
    """Yield a temporary folder that becomes `path` by one rename at the end, or vanishes on an exception.

    An existing `path` is replaced only at the end, and only with `overwrite`.

    Raises:
        FileExistsError: `path` exists and `overwrite` is off.
    """
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
