"""One fuzzed case after the other: a real folder, a file of it mutated, read by its reader under a time limit."""

import os
import shutil
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from mutating import mutate

from fedrouter_sim.errors import UserError

SECONDS = 20  # of a case


class Hang(Exception):
    """A case took too long."""


@dataclass
class Found:
    """What became of the cases of one reader."""

    read: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)  # what escaped, with the place it came from
    first: dict[str, str] = field(default_factory=dict)  # its first case

    @property
    def cases(self) -> int:
        """How many there were."""
        return self.read + self.refused + sum(self.faults.values())


def fuzz(real: Path, work: Path, read: Callable[[Path], Any], cases: int, seed: int, most: int = 2) -> Found:
    """Read a folder many times, each time with one file of it mutated.

    Args:
        real: the folder as it should be; it is not changed.
        work: where copies go.
        read: the reader.
        cases: how many.
        seed: of the mutations; a case is known by it and its number.
        most: files mutated in a case.
    """
    found = Found()
    copy = work / "case"
    shutil.copytree(real, copy)
    names = sorted(path.relative_to(real) for path in real.rglob("*") if path.is_file())
    for number in range(cases):
        draw = Random(f"{seed}-{number}")
        chosen = draw.sample(names, min(len(names), draw.choice((1,) * 7 + (most,))))
        try:
            for name in chosen:
                mutate(copy / name, draw)
            outcome = outcome_of(read, copy)
            if outcome is None:
                found.read += 1
            elif outcome == "":
                found.refused += 1
            else:
                found.faults[outcome] += 1
                found.first.setdefault(outcome, f"seed {seed}, case {number}: {', '.join(map(str, chosen))}")
        finally:
            for name in chosen:
                restore(real / name, copy / name)
    shutil.rmtree(copy)
    return found


def outcome_of(read: Callable[[Path], Any], folder: Path) -> str | None:
    """Return None if a folder was read, '' if it was refused in one line, else what went wrong and where."""

    def stop(number: int, frame: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        read(folder)
    except UserError as error:
        said = str(error)
        if len(said) > 2000 or any(c < " " and c not in "\n" for c in said) or any(c in said for c in "\u202e\x9b"):
            return f"unclean message: {said[:150]!r}"
        return ""
    except Exception as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "fedrouter_sim" in f.filename]
        last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {str(error)[:80]!r} at {Path(last.filename).name}:{last.lineno}"
    finally:
        signal.alarm(0)
    return None


def restore(real: Path, place: Path) -> None:
    """Put a file back as it was."""
    if place.is_dir() and not place.is_symlink():
        place.rmdir()
    elif os.path.lexists(place):
        place.unlink()
    shutil.copyfile(real, place)
