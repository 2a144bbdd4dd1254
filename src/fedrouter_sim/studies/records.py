"""Finished runs of a study as lines of one file: all that a comparison needs of them, without texts and weights.

With such a file a study goes on, and is compared, where its run folders are not: on another machine, or next year.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.reading import BEFORE, typed_setting
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.showing import shown
from fedrouter_sim.storage import read_json_lines, write_text
from fedrouter_sim.studies.comparison import Comparison, Cost, Entry, Score, compare
from fedrouter_sim.studies.finished import Origin
from fedrouter_sim.studies.naming import Told
from fedrouter_sim.studies.reading import metrics_beside, read_entry
from fedrouter_sim.studies.resampling import resampled
from fedrouter_sim.typed import Misfit, fitted

_DIGITS = 6  # significant ones of the values of single answers, which only intervals over test samples are made of


@dataclass(frozen=True)
class Record:
    """What a study keeps of a finished run."""

    name: str  # of its folder
    method: str
    split: str
    seed: int
    origin: Origin
    backbone: str  # what it is, in a line
    cost: Cost
    wall_seconds: float
    rows: Mapping[str, int]
    scores: Mapping[str, tuple[Score, ...]]  # by metric; the run's own first
    libraries: Mapping[str, str] = field(default_factory=dict)  # their versions; older lines have none
    notes: tuple[str, ...] = ()  # what the run had to say at its end

    @classmethod
    def of(cls, run: Run, also: Sequence[str] = ()) -> "Record":
        """Return that of a run, by the metric that it shows first, by token loss and by others."""
        own = run.metric
        others = (read_entry(run, metric, needed=False) for metric in metrics_beside(own, also))
        entries = [read_entry(run, own), *others]
        first = entries[0]
        return cls(
            *(run.folder.name, first.method, first.split, first.seed, Origin.of(run)),
            *(first.backbone, first.cost, first.wall_seconds, first.rows),
            {entry.metric: tuple(map(_rounded, entry.scores)) for entry in entries},
            *(first.libraries, first.notes),
        )

    def entry(self, metric: str) -> Entry:
        """Return what a comparison by a metric needs of it."""
        return Entry(
            *(Path(self.name), self.method, self.split, self.seed, self.origin.settings, self.cost),
            *(self.scores.get(metric, ()), metric, self.wall_seconds, self.backbone, self.rows, self.libraries),
            notes=self.notes,
        )

    def to_line(self) -> str:
        """Return it as a line of JSON."""
        scores = {name: [_as_json(score) for score in own] for name, own in self.scores.items()}
        return json.dumps({**asdict(replace(self, scores={})), "scores": scores}, ensure_ascii=False) + "\n"


class Records:
    """The finished runs that a file has."""

    def __init__(self, path: Path) -> None:
        """Read the file; one that is not there has none.

        Raises:
            UserError: a line is damaged, or two lines of a run differ.
        """
        self.path = path
        self.runs: dict[str, Record] = {}
        for record in _read(path) if path.exists() else ():
            # Files of several machines, joined, may have some lines in common.
            if self.runs.setdefault(record.name, record) != record:
                raise UserError(f"{path}: has {shown(record.name)} twice, and differently; remove one of the lines")

    def add(self, record: Record) -> None:
        """Add a run, and its line to the file, which may have got others' in the meantime.

        Raises:
            NoRoom: the disk is full.
        """
        self.runs[record.name] = record
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        ended = "\n" if before and not before.endswith("\n") else ""
        write_text(Path(os.path.realpath(self.path)), before + ended + record.to_line())  # through a link, not over it

    def compare(
        self, names: Sequence[str], metric: Metric, also: Sequence[str] = (), planned: Sequence[Told] = ()
    ) -> Comparison:
        """Set runs side by side.

        Args:
            names: of the runs; those that are not there are left out.
            metric: what they are compared by.
            also: other shipped metrics by which they are to be compared beside it; token loss always is.
            planned: as of `compare`.

        Raises:
            UserError: as `compare`.
        """
        chosen = [self.runs[name] for name in names if name in self.runs]
        found = [
            compare([one.entry(by.name) for one in chosen], by, planned)
            for by in (metric, *metrics_beside(metric, also))
        ]
        return replace(found[0], beside={one.metric.name: one for one in found[1:]})


def _rounded(score: Score) -> Score:
    """Return a score as its line has it, so that a run is compared the same before and after it was written."""
    if score.values is None:
        return score
    values = {
        client: tuple((float(f"{value:.{_DIGITS}g}"), weight) for value, weight in own)
        for client, own in score.values.items()
    }
    return replace(score, values=values, draws=resampled(values, score.rows, score.samples))


def _as_json(score: Score) -> dict[str, Any]:
    return {name: value for name, value in vars(score).items() if name != "draws"}


def _read(path: Path) -> list[Record]:
    remedy = "remove the line, and run the study again"
    found = []
    for number, line in enumerate(read_json_lines(path, {"name": str}, remedy), start=1):
        try:
            found.append(_record(line))
        except (ValueError, UserError) as error:
            raise UserError(f"{path}: line {number} is damaged ({error}); {remedy}") from None
    return found


def _record(line: Mapping[str, Any]) -> Record:
    """Return what a line says.

    Raises:
        ValueError: it is no record.
        UserError: a setting is none, or its value is not one.
    """
    record: Record = fitted(Record, line, "")
    if not any(record.scores.values()):
        raise Misfit("it has no scores")
    given = record.origin.settings.items()
    own = {key: typed_setting("settings", key, value) for key, value in given}
    settings = RunConfig.build(BEFORE, own).to_dict()
    scores = {metric: tuple(map(_drawn, own)) for metric, own in record.scores.items()}
    return replace(record, origin=replace(record.origin, settings=settings), scores=scores)


def _drawn(score: Score) -> Score:
    for own in (score.values or {}).values():
        pairs = np.array(own, dtype=float)  # (samples, 2)
        if pairs.shape != (len(own), 2) or not len(own) or not np.isfinite(pairs).all() or (pairs[:, 1] <= 0).any():
            raise Misfit("values must be pairs of a finite value and a weight above 0, at least one for each client")
    if score.rows is not None and _counts(score.rows) != _counts(score.values or {}):
        raise Misfit("rows must be as many as values, client by client")
    return replace(score, draws=resampled(score.values, score.rows, score.samples))


def _counts(of_clients: Mapping[int, Sequence[Any]]) -> dict[int, int]:
    return {client: len(own) for client, own in of_clients.items()}
