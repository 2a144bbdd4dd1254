"""A folder grows beside its place, under a known name that one process holds, and takes its place in one step."""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from fedrouter_sim.errors import UserError, noted
from fedrouter_sim.storage import named, sync_files

_BUILDING, _LOCK, _OLD, _ASIDE = ".partial", ".lock", ".old", ".aside"  # what the hidden names beside a folder end with
_NO_REPLACE, _EXCHANGE = 1, 2  # flags of Linux' renameat2
_HERE = -100  # its AT_FDCWD


def refuse_existing(out: Path, overwrite: bool, marks: Collection[str], kind: str) -> None:
    """Refuse a folder that is there already or cannot be there, before any work is done.

    Args:
        out: the value of --out.
        overwrite: whether it may be replaced.
        marks: the files that every folder of this kind has.
        kind: what the folder is to be, with its article: 'a run folder'.

    Raises:
        UserError: it exists and is not to be overwritten, or overwriting would delete what is not of this kind, or it
            is a link to nothing, or what would be overwritten holds the working directory.
    """
    if not out.exists():
        if out.is_symlink():
            raise UserError(f"--out {out}: is a link to {out.readlink()}, which is not there; choose another name")
        return
    if not overwrite:
        raise UserError(f"--out {out}: is there already; choose another name or give --overwrite")
    if not all((out / mark).is_file() for mark in marks):
        raise UserError(f"--out {out}: is not {kind}, so --overwrite leaves it alone; choose another name")
    if _real(out) in (here := Path.cwd().resolve(), *here.parents):
        raise UserError(f"--out {out}: the working directory lies in it, and would be lost; change to another one")


def refuse_taken(out: Path) -> None:
    """Refuse a folder that another process is making, before any work is done.

    Raises:
        UserError: one is.
    """
    lock = _lock_of(_real(out))
    if lock.exists():
        with _locked(lock, f"--out {out}", wait=False):
            pass


def place_of(out: Path) -> Path:
    """Return the place that a name stands for: that of a folder that is under way there, as well as its own."""
    real = _real(out)
    if real.name.startswith(".") and real.name.endswith(_BUILDING):
        return real.with_name(real.name[1 : -len(_BUILDING)])
    return real


def building_of(place: Path) -> Path:
    """Return the folder in which what is to be at a place grows."""
    return place.with_name(f".{place.name}{_BUILDING}")


@dataclass
class Place:
    """Where a folder is to be, as long as this process holds its name."""

    path: Path  # links followed
    building: Path  # beside it: where the folder grows
    shown: str  # what messages call it
    done: bool = False  # whether it is there

    def begin(self, aside: bool = False) -> None:
        """Make the folder in which it grows, instead of what a dead process left there; that is gone, or put aside."""
        if aside and self.building.is_dir():
            self.building.rename(_aside_of(self.building))
        self.drop()
        self.building.mkdir()

    def restore(self) -> None:
        """Remove the folder in which it grows, and put back what was put aside for it."""
        self.drop()
        if (aside := _aside_of(self.building)).is_dir():
            aside.rename(self.building)

    def drop(self) -> None:
        """Remove the folder in which it grows, if it is there."""
        shutil.rmtree(self.building, ignore_errors=True)

    def finish(self, overwrite: bool) -> None:
        """Let the folder take its place, in one step.

        Raises:
            UserError: another came up there meanwhile, and is not to be overwritten; ours is kept under another name.
        """
        for folder, _, files in os.walk(self.building):
            sync_files([*(Path(folder) / name for name in files), Path(folder)])
        if overwrite and self.path.is_dir():
            _swap(self.building, self.path)
            self.done = True
            self.drop()
        elif not _moved(self.building, self.path):
            other = next(
                path
                for number in count(2)
                if _moved(self.building, path := self.path.with_name(f"{self.path.name}-{number}"))
            )
            self.path, self.done = other, True
            raise UserError(f"{self.shown}: came up while this was made, which is kept as {other}")
        self.done = True
        sync_files([self.path.parent])


@contextmanager
def claimed(out: Path, shown: str | None = None, wait: bool = False) -> Iterator[Place]:
    """Hold the name of a folder: no other process makes it meanwhile. Folders are made for it.

    Args:
        out: the folder.
        shown: what messages call it; None: as --out.
        wait: for a process that holds it, instead of refusing.

    Raises:
        UserError: another process holds it, or it cannot be written there.
    """
    shown = shown or f"--out {out}"
    path = _real(out)
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    building = building_of(path)
    held = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with named(shown), _locked(_lock_of(path), shown, wait):
            held = True
            _mend(path)
            yield Place(path, building, shown)
    except OSError as error:
        lost = error.filename is not None and building in (Path(error.filename), *Path(error.filename).parents)
        if not held or lost:
            what = f"{building}, where it grows, has gone or" if lost else "it"
            raise UserError(
                f"{shown}: {what} cannot be written ({error.strerror}); choose another place{noted(error)}"
            ) from error
        raise
    finally:
        for folder in made:
            with suppress(OSError):  # it is not empty: all is well
                folder.rmdir()


@contextmanager
def new_folder(path: Path, overwrite: bool, shown: str | None = None, wait: bool = False) -> Iterator[Path]:
    """Yield a folder that takes its place at `path` at the end, in one step, or vanishes on an exception.

    An existing `path` is replaced only at the end, and only with `overwrite`. What a process that died left of an
    earlier try is removed.

    Raises:
        FileExistsError: `path` exists and `overwrite` is off.
        UserError: as `claimed` and `Place.finish`, or the disk is full.
    """
    with claimed(path, shown, wait) as place:
        if place.path.exists() and not overwrite:
            raise FileExistsError(path)
        try:
            place.begin()
            yield place.building
            place.finish(overwrite)
        finally:
            if not place.done:
                place.drop()


@contextmanager
def _locked(lock: Path, shown: str, wait: bool) -> Iterator[None]:
    """Hold a lock that dies with this process; its file goes with it."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "?"
            os.close(descriptor)
            raise UserError(f"{shown}: process {holder} is writing it; wait for it, or choose another name") from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
        # Who held it before has removed the file that was opened here, perhaps.
        if lock.exists() and os.path.samestat(os.fstat(descriptor), lock.stat()):
            break
        os.close(descriptor)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        lock.unlink(missing_ok=True)
        os.close(descriptor)


def _lock_of(path: Path) -> Path:
    return path.with_name(f".{path.name}{_LOCK}")


def forget_aside(building: Path) -> None:
    """Remove what was put aside for a folder that grows: what grows is worth more by now."""
    shutil.rmtree(_aside_of(building), ignore_errors=True)


def _aside_of(building: Path) -> Path:
    return building.with_name(f"{building.name.removesuffix(_BUILDING)}{_ASIDE}")


def _real(out: Path) -> Path:
    try:
        return Path(os.path.realpath(out))
    except FileNotFoundError:
        raise UserError(f"--out {out}: the working directory is gone; change to another one") from None


def _renamed(source: Path, target: Path, how: int) -> bool:
    """Rename in one step as Linux does it with a flag; False where kernel or disk cannot.

    Raises:
        OSError: it failed otherwise.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    if rename(_HERE, os.fsencode(source), _HERE, os.fsencode(target), how) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(source), None, str(target))


def _moved(source: Path, target: Path) -> bool:
    """Move a folder where nothing is; False if something is there."""
    try:
        if _renamed(source, target, _NO_REPLACE):
            return True
        if os.path.lexists(target):
            return False
        source.rename(target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        return False
    return True


def _swap(new: Path, old: Path) -> None:
    """Let two folders change names."""
    if not _renamed(new, old, _EXCHANGE):
        aside = old.with_name(f".{old.name}{_OLD}")
        old.rename(aside)
        new.rename(old)
        aside.rename(new)


def _mend(path: Path) -> None:
    """Put back what a process that died between the renames of `_swap` or of `Place.begin` had taken away."""
    building = building_of(path)
    if (before := _aside_of(building)).is_dir():
        shutil.rmtree(building, ignore_errors=True)
        before.rename(building)
    aside = path.with_name(f".{path.name}{_OLD}")
    if aside.is_dir():
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(path)
