"""Runs side by side: what each scored in each cell, what it cost, and whether a claimed difference is there.

The unit of verdicts is the seed: at one seed all methods see the same clients and the same test samples. A gain is the
mean over seeds of log(score / score of the baseline), with a 95% interval from Student's t, shown as a ratio. Beside it
stands the interval over test samples (`studies.resampling`), and beside every score the token loss.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from fedrouter_sim.arrays import Doubles
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import DEFAULT_METRIC, LOSS, find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.runs.entries import unread
from fedrouter_sim.studies.gains import Estimate, Gain
from fedrouter_sim.studies.naming import Told, names_of, portable
from fedrouter_sim.studies.resampling import OverSamples, Power, Rows, Values, distinct, interval

REPRODUCED, CONTRADICTED, NOT_SEPARABLE = "reproduced", "contradicted", "not separable"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Cost:
    """What a run spent."""

    optimizer_steps: int
    tokens_trained: int
    bytes_up: int
    bytes_down: int


@dataclass(frozen=True)
class Score:
    """The score of one run in one cell, by the metric of the comparison."""

    method: str  # 'fedrouter'; 'fedrouter/local' under a routing other than its own
    split: str
    seed: int
    test_data: str  # 'own', 'all', 'drift', 'held-out'
    mean: float  # over clients
    spread: float  # standard deviation over clients
    worst: float  # the worst client
    per_client: Mapping[int, float]
    per_task: Mapping[str, float]
    samples: str  # digest of who was asked what: only equal ones may be compared
    asked: int = 0  # number of test samples
    values: Values | None = field(default=None, compare=False, repr=False)  # of single answers
    rows: Rows | None = field(default=None, compare=False, repr=False)  # that these answers are to; None: not known
    draws: Doubles | None = field(default=None, compare=False, repr=False)  # the mean on other draws of test rows


@dataclass(frozen=True)
class Entry:
    """One run, as a comparison sees it."""

    folder: Path
    method: str
    split: str
    seed: int
    settings: Mapping[str, Any]
    cost: Cost
    scores: tuple[Score, ...]
    metric: str = DEFAULT_METRIC  # of the scores
    wall_seconds: float = 0.0  # of the whole run, evaluation included
    backbone: str = ""  # what it is, in a line
    rows: Mapping[str, int] = field(default_factory=dict)  # training rows of each task, of all clients; none unlabelled
    libraries: Mapping[str, str] = field(default_factory=dict)  # their versions; none where they were not kept
    notes: tuple[str, ...] = ()  # what the run had to say at its end

    @property
    def told(self) -> Told:
        """What the run is told from others by."""
        return Told(self.method, self.split, self.seed, portable(self.settings))


@dataclass(frozen=True)
class Claim:
    """A statement named before the runs: in a cell, `method` is above `least` times `baseline`; where a metric is
    better when lower, `baseline` is above `least` times `method`."""

    says: str
    method: str
    baseline: str
    split: str
    test_data: str
    least: float = 1.0
    paper: str = ""  # the paper's magnitude, for the reader to hold beside ours
    metric: str = ""  # what it is judged by; '': the metric of the comparison

    def __post_init__(self) -> None:
        if not 0 < self.least < math.inf:
            raise UserError(f"claim {self.says!r}: least = {self.least} must be above 0 and finite")


@dataclass(frozen=True)
class Judged:
    """A claim with what came out."""

    claim: Claim
    gain: Gain | None  # None where no seed has both runs
    verdict: str
    power: Power | None = None  # where it is not separable: what it would take
    missing: str = ""  # why it is not measured
    by_loss: "Judged | None" = None  # what token loss says; None where it is what the claim is judged by, or unknown


@dataclass(frozen=True)
class Comparison:
    """Several runs, and what may be said of them."""

    entries: tuple[Entry, ...]
    metric: Metric = field(default_factory=lambda: find_metric(DEFAULT_METRIC))
    differences: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # setting -> run -> value, where unequal
    notes: tuple[str, ...] = ()  # for the user
    beside: Mapping[str, "Comparison"] = field(default_factory=dict)  # by other metrics, of the same runs

    @property
    def by_loss(self) -> "Comparison | None":
        """The comparison by token loss; None where this one is by it, or no run has it."""
        found = self.beside.get(LOSS)
        return found if found is not None and found.scores else None

    @property
    def views(self) -> "list[Comparison]":
        """What tables and figures show: this comparison and, beside it, that by token loss."""
        return [self, *filter(None, [self.by_loss])]

    @property
    def scores(self) -> list[Score]:
        """All scores of all runs."""
        return [score for entry in self.entries for score in entry.scores]

    def backbones(self) -> list[str]:
        """Return what the runs' backbones are, in order of appearance."""
        return list(dict.fromkeys(entry.backbone for entry in self.entries if entry.backbone))

    def cells(self) -> list[tuple[str, str]]:
        """Return the (split, test data) pairs that were scored, in order of appearance."""
        return list(dict.fromkeys((score.split, score.test_data) for score in self.scores))

    def methods(self) -> list[str]:
        """Return the methods that were scored, in order of appearance."""
        return list(dict.fromkeys(score.method for score in self.scores))

    def costs(self, method: str, split: str | None = None) -> list[Cost]:
        """Return what the runs behind a method's scores spent, of one split or of all."""
        return [
            entry.cost
            for entry in self.entries
            if split in (None, entry.split) and any(score.method == method for score in entry.scores)
        ]

    def runs_by_value(self, setting: str) -> dict[str, list[str]]:
        """Return, for a setting in which runs differ, the names of the runs of each value."""
        runs: dict[str, list[str]] = {}
        for run, value in self.differences[setting].items():
            runs.setdefault(str(value), []).append(Path(run).name)
        return runs

    def select(self, method: str, split: str, test_data: str) -> list[Score]:
        """Return the scores of one method in one cell, by seed."""
        wanted = (method, split, test_data)
        return sorted((s for s in self.scores if (s.method, s.split, s.test_data) == wanted), key=lambda s: s.seed)

    def estimate(self, method: str, split: str, test_data: str, task: str | None = None) -> Estimate | None:
        """Estimate a method's score in a cell, of one task or of all; None where it has none."""
        found = self.select(method, split, test_data)
        values = [s.mean if task is None else s.per_task[task] for s in found if task is None or task in s.per_task]
        return Estimate.of(values) if values else None

    def gain(self, method: str, baseline: str, split: str, test_data: str) -> Gain | None:
        """Set a method against a baseline, seed by seed; None where no seed has both, or a score is 0.

        A ratio above 1 is better, whichever way the metric goes.
        """
        pairs = self._pairs(method, baseline, split, test_data)
        if not pairs or _without_ratio(pairs):
            return None
        sign = 1 if self.metric.higher_is_better else -1
        logs = [sign * math.log(ours.mean / other.mean) for ours, other in pairs]
        drawn = [
            sign * np.log(ours.draws / other.draws) if min(ours.draws.min(), other.draws.min()) > 0 else None
            for ours, other in pairs
            if ours.draws is not None and other.draws is not None
        ]
        found = [one for one in drawn if one is not None]
        # Draws by rows and those of older records, which have none, are not of the same weights.
        paired = len(found) == len(pairs) and all((ours.rows is None) == (other.rows is None) for ours, other in pairs)
        over = interval(found, _samples([ours for ours, _ in pairs])) if paired else None
        return Gain(
            *(method, baseline, split, test_data, Estimate.of(logs)),
            over and replace(over, low=math.exp(over.low), high=math.exp(over.high)),
            None if over is None else float(np.std(np.mean(found, axis=0), ddof=1)),
        )

    def _pairs(self, method: str, baseline: str, split: str, test_data: str) -> list[tuple[Score, Score]]:
        """Return the scores of both at each seed that both have."""
        theirs = {score.seed: score for score in self.select(baseline, split, test_data)}
        return [(score, theirs[score.seed]) for score in self.select(method, split, test_data) if score.seed in theirs]

    def over_samples(self, method: str, split: str, test_data: str) -> OverSamples | None:
        """Return the interval of a method's score in a cell over test samples; None where they are not known."""
        found = self.select(method, split, test_data)
        draws = [score.draws for score in found if score.draws is not None]
        return interval(draws, _samples(found)) if draws and len(draws) == len(found) else None

    def judge(self, claim: Claim) -> Judged:
        """Say what became of a claim: the interval of the log-ratio lies above, below, or around log(least).

        By its own metric; and by token loss beside it. A factor above 1 is a factor of scores, so by loss the claim is
        then only that there is a gain.
        """
        view = self if claim.metric in ("", self.metric.name) else self.beside.get(claim.metric)
        if view is None:
            return Judged(claim, None, NOT_MEASURED, missing=f"Nothing was scored by {claim.metric}.")
        judged, loss = view._judge(claim), self.by_loss
        if loss is None or loss is view:
            return judged
        return replace(judged, by_loss=loss._judge(replace(claim, least=min(1.0, claim.least), metric=LOSS)))

    def _judge(self, claim: Claim) -> Judged:
        cell = (claim.method, claim.baseline, claim.split, claim.test_data)
        gain = self.gain(*cell)
        if gain is None:
            zero = _without_ratio(self._pairs(*cell))
            missing = f"A score is 0, with seed {zero[0]}, and has no ratio." if zero else "No seed has both runs."
            return Judged(claim, None, NOT_MEASURED, missing=missing)
        if gain.log_ratio.low is None or gain.log_ratio.high is None:
            return Judged(claim, gain, NOT_SEPARABLE, gain.power(claim.least))
        bar = math.log(claim.least)
        verdict = (
            REPRODUCED if gain.log_ratio.low > bar else CONTRADICTED if gain.log_ratio.high < bar else NOT_SEPARABLE
        )
        return Judged(claim, gain, verdict, gain.power(claim.least) if verdict == NOT_SEPARABLE else None)


def _without_ratio(pairs: Sequence[tuple[Score, Score]]) -> list[int]:
    """Return the seeds at which a score is 0 (or below: a metric of the user's own), of which there is no ratio."""
    return [ours.seed for ours, other in pairs if min(ours.mean, other.mean) <= 0]


def _samples(scores: Sequence[Score]) -> int:
    """Return how many different test samples are behind some scores; of those that are not known, each is another."""
    return distinct([score.rows for score in scores]) or sum(score.asked for score in scores)


def compare(entries: Sequence[Entry], metric: Metric | None = None, planned: Sequence[Told] = ()) -> Comparison:
    """Set runs side by side. A method that is there with several settings gets a name for each: 'fedrouter (tasks=3)'.

    Args:
        entries: the runs.
        metric: what they are compared by.
        planned: all runs of which these are a part, so that their names are those that the whole will have.

    Raises:
        UserError: two runs are the same in method, clients and settings, or the test samples of two runs differ.
    """
    names = names_of([entry.told for entry in entries], planned)
    entries = [_named(entry, name) for entry, name in zip(entries, names, strict=True)]
    seen: dict[tuple[str, str, int], Entry] = {}
    asked: dict[tuple[str, int, str], tuple[str, Entry]] = {}
    for entry in entries:
        twin = seen.setdefault((entry.method, entry.split, entry.seed), entry)
        if twin is not entry:
            raise UserError(
                f"{twin.folder} and {entry.folder} are both {entry.method} on {entry.split} with seed {entry.seed}; "
                "compare one of them at a time"
            )
        for score in entry.scores:
            samples, other = asked.setdefault((score.split, score.seed, score.test_data), (score.samples, entry))
            if samples != score.samples:
                raise UserError(
                    f"{other.folder} and {entry.folder} answered different test samples in the cell "
                    f"'{score.test_data}' of {score.split}, seed {score.seed}: they cannot be compared"
                )
    metric = metric or find_metric(entries[0].metric if entries else DEFAULT_METRIC)
    return Comparison(tuple(entries), metric, _differences(entries))


def _named(entry: Entry, name: str) -> Entry:
    """Call a run's method by a name."""
    scores = (replace(score, method=score.method.replace(entry.method, name, 1)) for score in entry.scores)
    return replace(entry, method=name, scores=tuple(scores))


def _differences(entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
    """Return the settings in which runs that read them differ, beyond those that a comparison is over."""
    over = ("method", "split", "seed", "metric")
    values: dict[str, dict[str, Any]] = {}
    for entry in entries:
        for name in [name for name in entry.settings if name not in (*over, *unread(entry.settings))]:
            values.setdefault(name, {})[str(entry.folder)] = entry.settings[name]
    return {name: found for name, found in values.items() if len({repr(value) for value in found.values()}) > 1}
