"""SHA-256 of the files of a folder."""

import hashlib
from collections.abc import Collection
from pathlib import Path


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_digests(folder: Path, without: Collection[str] = ()) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder, by its path below it, sorted.

    Args:
        folder: the folder; one that is not there has no files.
        without: names of files or folders right in it that are left out.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: file_digest(path) for name, path in names.items() if name.split("/")[0] not in without}
