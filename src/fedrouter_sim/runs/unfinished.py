"""A run that is under way: how it was begun, where it grows, and what becomes of its folder when it stops."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.config.reading import BEFORE, read_settings
from fedrouter_sim.errors import Interrupted, MayPass, UserError
from fedrouter_sim.folders import building_of, claimed, forget_aside, place_of, refuse_existing
from fedrouter_sim.runs.entries import unread
from fedrouter_sim.runs.layout import CHECKPOINT_FOLDER, CONFIG_FILE, MANIFEST_NAME, RUN_MARKS
from fedrouter_sim.storage import read_json, refuse_links, write_json, write_text
from fedrouter_sim.typed import Threads, fitted

CHECKPOINT_FORMAT = 2  # 1 had tasks share factors of no common basis, and by lengths of single updates under guards
EVERY_ROUND, EVERY_CLIENT = "round", "client"
"""What is kept while a run trains: the state after each round, or what each client sent as well."""

_ANEW = "train the run anew with --overwrite"

BEGUN_NAME = "begun.json"
RECEIVED_NAME = "received.jsonl"


@dataclass(frozen=True)
class Begun:
    """How a run was begun: what `--resume` goes by."""

    run: Path  # the folder in which it grows
    settings: Mapping[str, Any]
    overwrite: bool = False  # an existing run at its place is replaced
    tensorboard: bool = False
    every_client: bool = False  # what each client sent is kept at once
    own_sha256: Mapping[str, str] = field(default_factory=dict)  # of the files of the user's own entries, by setting
    threads: Threads | None = None  # in which it computes; None: of a run from before that was written down

    @property
    def folder(self) -> Path:
        """The folder of what is kept."""
        return self.run / CHECKPOINT_FOLDER

    def save(self) -> None:
        """Write it, and the settings as the run folder has them."""
        write_text(self.run / CONFIG_FILE, RunConfig.build(self.settings).to_toml())
        own = {key: value for key, value in vars(self).items() if key != "run"}
        write_json(self.folder / BEGUN_NAME, {"format": CHECKPOINT_FORMAT} | own)

    @classmethod
    def load(cls, run: Path) -> "Begun | None":
        """Read it from the folder in which a run grows; None if there is none.

        Raises:
            UserError: it is damaged or of another format, or the folder holds a link, which is not followed.
        """
        path = run / CHECKPOINT_FOLDER / BEGUN_NAME
        if not path.exists():
            return None
        refuse_links(run)
        record = read_json(path, _ANEW)
        if (found := record.pop("format", None)) != CHECKPOINT_FORMAT:
            raise UserError(
                f"--resume {run}: its format is {found}, and this version goes on with {CHECKPOINT_FORMAT}; go on with "
                "the version that began it, or train anew with --overwrite"
            )
        try:
            begun: Begun = fitted(cls, record | {"run": run}, "")
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {_ANEW}") from None
        return begun

    @property
    def rounds(self) -> int | None:
        """How many rounds are kept; None if not even the plan is."""
        kept = states(self.folder)
        return int(kept[-1].name.rpartition("-")[2]) if kept else None

    @property
    def worth_keeping(self) -> bool:
        """Whether anything was trained."""
        return bool(self.rounds) or (self.folder / RECEIVED_NAME).exists()

    def said_of_threads(self, now: int, with_workers: bool) -> str:
        """Return what a user should know who goes on with the run in a process of so many threads; '' for nothing."""
        if self.threads in (None, now):
            return ""
        goes_on = "goes on in one, as workers do: its last digits may be others" if with_workers else "goes on so"
        return f"the run was begun in {self.threads} threads, and {goes_on}"

    def check(self, now: "Begun") -> None:
        """Refuse to go on with other settings, or other files of the user's own entries. What is not read may differ.

        Raises:
            UserError: one differs; it is named.
        """
        begun = {**RunConfig().to_dict(), **BEFORE, **self.settings}  # a setting that came later is as it was without
        for name in sorted({*now.settings, *begun} - unread(begun)):
            old, new = begun.get(name), now.settings.get(name)
            if old != new:
                raise UserError(
                    f"--resume {self.run}: was begun with {flag(name)} {old}, not {new}; a run goes on with its own "
                    "settings"
                )
        for name, digest in self.own_sha256.items():
            if now.own_sha256.get(name) != digest:
                raise UserError(
                    f"{flag(name)} {self.settings[name]}: the file is gone or has changed since {self.run} was begun "
                    "with it; put it back, or train anew with --overwrite"
                )


def states(checkpoint: Path) -> list[Path]:
    """Return the states that are kept, the last one at the end."""
    return sorted(path for path in checkpoint.glob("round-*") if path.name.rpartition("-")[2].isdigit())


@dataclass(frozen=True)
class Found:
    """A run that `--resume` names."""

    out: Path  # where it is, or will be
    config: RunConfig
    begun: Begun | None = None  # how, of a run that is under way; None: it is finished

    def check(self, config: RunConfig, given: Collection[str]) -> None:
        """Refuse settings beside `--resume` that are not the run's own.

        Raises:
            UserError: one of those given differs; it is named.
        """
        own, new = vars(self.config), vars(config)
        for name in sorted(given):
            if own[name] != new[name]:
                more = "--resume goes on with that; drop it" if self.begun else "is finished; train another run"
                raise UserError(f"{flag(name)} {new[name]}: {self.out} was begun with {own[name]}, and {more}")


def find_run(out: Path) -> Found:
    """Look for a run that is under way, or finished.

    Args:
        out: its place, or the folder in which it grows.

    Raises:
        UserError: there is none.
    """
    place = place_of(out)
    with suppress(UserError), claimed(place):  # which puts back what a process that died had put aside
        pass
    building = building_of(place)
    own = out if place_of(out) == Path(os.path.realpath(out)) else place
    if (begun := Begun.load(building)) is not None:
        return Found(own, RunConfig.build(BEFORE, read_settings(building / CONFIG_FILE)), begun)
    if (place / MANIFEST_NAME).is_file():
        return Found(own, RunConfig.build(BEFORE, read_settings(place / CONFIG_FILE)))
    raise UserError(
        f"--resume {out}: there is no run, and none was interrupted; `fedrouter-sim train --out {own}` begins one"
    )


def refuse_interrupted(out: Path) -> None:
    """Refuse a place where an interrupted training would be lost.

    Raises:
        UserError: one is there.
    """
    begun = Begun.load(building_of(place_of(out)))
    if begun is not None and begun.worth_keeping:
        raise _interrupted(out)


def _interrupted(out: Path) -> UserError:
    return UserError(
        f"--out {out}: an interrupted run is there; `fedrouter-sim train --resume {out}` goes on with it, and "
        "--overwrite begins anew"
    )


def tidy(out: Path) -> None:
    """Remove what a process that died at the very end of a run left beside it and in it."""
    with suppress(UserError), claimed(out) as place:  # another process may be at it
        if Begun.load(place.building) is None:
            place.drop()
        if (place.path / MANIFEST_NAME).is_file():
            shutil.rmtree(place.path / CHECKPOINT_FOLDER, ignore_errors=True)


@contextmanager
def run_under_way(out: Path, new: Begun, resume: bool) -> Iterator[Begun]:
    """Hold the place of a run, yield how the run in its growing folder was begun, and let it take its place at the end.

    What was trained is kept in the folder where it grew if the run does not come to its end for a reason that may pass:
    an interrupt, a full disk, a lost worker, a fault of the program. Otherwise all is as it was before.

    Args:
        out: where the run is to be.
        new: how the run is begun, unless one goes on; with `overwrite` it replaces an existing run there, and one that
            was interrupted.
        resume: go on with one that was interrupted, if there is one.

    Raises:
        UserError: the place is taken, or the run that was interrupted there has other settings or files.
        Interrupted: the user stopped it.
    """
    with claimed(out) as place:
        begun = Begun.load(place.building) if resume or not new.overwrite else None
        if begun is not None and not resume and begun.worth_keeping:
            raise _interrupted(out)
        resumed = begun is not None and resume
        begun = begun if begun is not None and resumed else replace(new, run=place.building)
        refuse_existing(out, begun.overwrite, RUN_MARKS, "a run folder")
        if resumed:
            begun.check(new)
        try:
            if resumed:
                _sweep(place.building)
            else:
                place.begin(aside=True)
                begun.save()
            yield begun
            if not (begun.folder / BEGUN_NAME).is_file():
                raise UserError(f"{place.building}: has gone while the run grew in it; train it anew")
            forget_aside(place.building)
            place.finish(begun.overwrite)
        except BaseException as error:
            if not place.done:
                may_pass = isinstance(error, MayPass) or not isinstance(error, UserError)
                if not (resumed or (begun.worth_keeping and may_pass)):
                    place.restore()
                    raise
                forget_aside(place.building)
                _tell(error, out, begun)
            raise
        finally:
            if place.done:  # only now: until it was at its place it might have had to go on
                shutil.rmtree(place.path / CHECKPOINT_FOLDER, ignore_errors=True)


def _sweep(run: Path) -> None:
    """Remove the temporary files of a process that died."""
    for left in run.rglob(".*.tmp"):
        left.unlink(missing_ok=True)


def _tell(error: BaseException, out: Path, begun: Begun) -> None:
    """Say how a run goes on that has stopped before its end."""
    more = " and what clients sent since" if (begun.folder / RECEIVED_NAME).exists() else ""
    rounds = begun.rounds or 0
    kept = f"{rounds} round{'s' if rounds != 1 else ''}{more}"
    how = (
        f"{kept} {'are' if more or rounds != 1 else 'is'} kept; `fedrouter-sim train --resume {out}` goes on from there"
    )
    if isinstance(error, KeyboardInterrupt):
        raise Interrupted(how) from error
    error.add_note(how)
