"""A mean over seeds with its interval, and how far one method is above another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t as student_t

from fedrouter_sim.studies.resampling import CONFIDENCE, OverSamples, Power, power


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95% t-interval; without one where there is a single seed."""

    mean: float
    low: float | None
    high: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Estimate the mean of at least one value."""
        mean, n = fmean(values), len(values)
        if n < 2:
            return cls(mean, None, None, n)
        half = _t(n) * stdev(values) / math.sqrt(n)
        return cls(mean, mean - half, mean + half, n)


def _t(seeds: int) -> float:
    return float(student_t.ppf((1 + CONFIDENCE) / 2, seeds - 1))


@dataclass(frozen=True)
class Gain:
    """How a method stands to a baseline in one cell, over the seeds that both have."""

    method: str
    baseline: str
    split: str
    test_data: str
    log_ratio: Estimate
    over_samples: OverSamples | None = None  # of the ratio
    error_over_samples: float | None = None  # standard error of the log-ratio over test samples

    @property
    def ratio(self) -> Estimate:
        """The estimate as a ratio of scores: 1.061 is 6.1% relative better."""
        log = self.log_ratio
        return Estimate(
            math.exp(log.mean),
            None if log.low is None else math.exp(log.low),
            None if log.high is None else math.exp(log.high),
            log.seeds,
        )

    def power(self, bar: float) -> Power:
        """Say what it takes to tell the gain from a bar, a ratio, were it as large as it seems."""
        log = self.log_ratio
        spread = None
        if log.high is not None:
            spread = (log.high - log.mean) * math.sqrt(log.seeds) / _t(log.seeds)
        asked = self.over_samples.samples if self.over_samples else 0
        return power(log.mean - math.log(bar), self.error_over_samples, asked, spread)
