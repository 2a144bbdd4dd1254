"""Measuring: contenders take turns in one process; the medians of their samples make figures with targets."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Sample = Mapping[str, float]
"""What one repeat measured: quantity, its unit in its name ("seconds a step") -> value."""

Contender = Callable[[int], Sample]
"""Does its work once; it is given the number of the repeat, which may choose the data."""


@dataclass(frozen=True)
class Figure:
    """A number that a benchmark yields, and what it should be; with neither limit there is no target."""

    what: str
    value: float
    least: float | None = None
    most: float | None = None

    @property
    def target(self) -> str | None:
        """The target in words; None where there is none."""
        if self.least is None and self.most is None:
            return None
        if self.least == self.most:
            return f"exactly {self.least:,g}"
        both = [("at least", self.least), ("at most", self.most)]
        return " and ".join(f"{words} {limit:,g}" for words, limit in both if limit is not None)

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)


class Samples:
    """The samples of all contenders: contender -> quantity -> a value for each repeat."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, list[float]]] = {}

    def add(self, contender: str, sample: Sample) -> None:
        """Add what one repeat of a contender measured."""
        for quantity, value in sample.items():
            self.values.setdefault(contender, {}).setdefault(quantity, []).append(value)

    def median(self, contender: str, quantity: str) -> float:
        """Return the median over the repeats."""
        return statistics.median(self.values[contender][quantity])

    def ratio(self, over: str, under: str, quantity: str) -> float:
        """Return the median of the repeats' ratios. What ran side by side is compared, so that a machine that slows
        down between two repeats has no say."""
        pairs = zip(self.values[over][quantity], self.values[under][quantity], strict=True)
        return statistics.median(one / other for one, other in pairs)


@dataclass(frozen=True)
class Contest:
    """A benchmark, ready to run: who takes part, and what is made of their samples.

    What a contender loads or warms up has to be done before, or left out of what it measures.
    """

    title: str
    contenders: Mapping[str, Contender]
    judge: Callable[[Samples], Sequence[Figure]]
    notes: Sequence[str] = ()
    repeats: int | None = None  # where it repeats less often than the others


@dataclass(frozen=True)
class Measured:
    """A benchmark that has run."""

    name: str
    contest: Contest
    repeats: int
    samples: Samples
    figures: Sequence[Figure]


def clocked(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def run(name: str, contest: Contest, repeats: int, after: Callable[[], None] = lambda: None) -> Measured:
    """Let the contenders take turns, in turning order (AB BA AB ...), and judge them.

    Args:
        name: of the benchmark.
        contest: the benchmark.
        repeats: how often each contender runs, if the contest does not say.
        after: called after each run of a contender.
    """
    samples, repeats = Samples(), contest.repeats or repeats
    gc.collect()
    gc.freeze()  # what is there now is not looked through again each time
    for repeat in range(repeats):
        names = list(contest.contenders)
        for contender in names if repeat % 2 == 0 else names[::-1]:
            gc.collect()  # nobody pays for what another one left
            samples.add(contender, contest.contenders[contender](repeat))
            after()
    gc.unfreeze()
    return Measured(name, contest, repeats, samples, contest.judge(samples))
