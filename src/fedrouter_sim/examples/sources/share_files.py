"""Which files of a folder hold which share: one file, or several that are parts of it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files import is_data_file
from fedrouter_sim.examples.reading import SHARE_NAMES

_SHARE_OF = {name: share for share, names in SHARE_NAMES.items() for name in names}
_NUMBER = r"(\d{1,18})"  # longer ones, such as times, number no parts
_NAME = re.compile(rf"({'|'.join(_SHARE_OF)})(?:-{_NUMBER}-of-{_NUMBER}|[-_]{_NUMBER})?(\..+)", flags=re.IGNORECASE)
_NO_ROWS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
"""What `datasets` writes beside the rows."""


@dataclass(frozen=True)
class _Part:
    path: Path
    name: str  # of its share
    number: int | None  # None for a file that is the whole share
    of: int | None  # how many there are, where the name says so
    suffix: str

    @property
    def kind(self) -> tuple[object, ...]:
        """What all parts of a share have in common."""
        return self.name, self.number is None, self.of, self.suffix


def share_files(folder: Path) -> dict[str, list[Path]]:
    """Return the files of each share in a folder, or in its folder `data` if it has none itself, in their order.

    A share is one file, such as train.jsonl, or several: train-00000-of-00002.parquet and so on, or train_1.csv and so
    on.

    Raises:
        UserError: there are several files for a share that do not go together, or one of its parts is missing.
    """
    parts: dict[str, list[_Part]] = {}
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name) and is_data_file(path.name) and not path.is_file():
            kind = "a link to nothing" if path.is_symlink() and not path.exists() else "no regular file"
            raise UserError(f"--data {folder}: {path.name} is {kind}; put the file there, or remove it")
    for path in data_files(folder):
        if found := _NAME.fullmatch(path.name):
            name, number, of, other, suffix = found.groups()
            number = number or other
            part = _Part(path, name.lower(), int(number) if number else None, int(of) if of else None, suffix.lower())
            parts.setdefault(_SHARE_OF[part.name], []).append(part)
    if not parts and (folder / "data").is_dir():
        return share_files(folder / "data")
    return {share: _in_order(folder, parts[share]) for share in SHARE_NAMES if share in parts}


def unused_files(folder: Path, used: Iterable[Path]) -> list[str]:
    """Return the names of the data files in a folder, and in its folder `data`, that hold no share."""
    beside = data_files(folder / "data") if (folder / "data").is_dir() else []
    read = {*used}
    return [str(path.relative_to(folder)) for path in (*data_files(folder), *beside) if path not in read]


def data_files(folder: Path) -> list[Path]:
    """Return all files of a folder whose names end as those of known formats, sorted."""
    return sorted(
        path
        for path in folder.iterdir()
        if is_data_file(path.name) and path.name not in _NO_ROWS and path.name[0] not in "._" and path.is_file()
    )


def _in_order(folder: Path, parts: Sequence[_Part]) -> list[Path]:
    first, *others = parts = sorted(parts, key=lambda part: (part.number or 0, part.path))
    odd = [part for part in others if part.kind != first.kind]
    odd += [other for part, other in pairwise(parts) if part.number == other.number]
    if odd:
        raise UserError(f"--data {folder}: both {first.path.name} and {odd[0].path.name} are there; keep one of them")
    if first.number is None:
        return [first.path]
    numbers = [part.number or 0 for part in parts]
    begin = 0 if first.of and numbers[-1] < first.of else 1 if first.of else first.number
    expected = range(begin, begin + first.of if first.of else numbers[-1] + 1)
    have = set(numbers)
    if (missing := next((number for number in expected if number not in have), None)) is not None:
        raise UserError(
            f"--data {folder}: {_renumbered(first, missing)} is missing; the share {first.name} has "
            f"{len(parts)} of {len(expected)} files"
        )
    return [part.path for part in parts]


def _renumbered(part: _Part, number: int) -> str:
    """Return the name that another part of the same share has."""
    return re.sub(r"\d+", lambda found: f"{number:0{len(found[0])}}", part.path.name, count=1)
