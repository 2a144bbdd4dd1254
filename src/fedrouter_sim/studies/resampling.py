"""What a score would have been on other test samples: bootstrap over the rows of the test data.

A row weighs the same wherever it is asked: by all methods of a seed, which all answer the same samples, so that what
two methods have in common falls out of their difference; and at all seeds, which deal from the same rows. SciPy's
bootstrap (`scipy.stats.bootstrap`, paired) has draws over all samples at once and nothing of clients, over whom scores
are means, nor of rows that are asked several times.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student_t

from fedrouter_sim.arrays import Doubles
from fedrouter_sim.evaluation.metrics import LOSS
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.randomness import numpy_generator

DRAWS = 1000
CONFIDENCE = 0.95
POWER = 0.8
MOST_SEEDS = 1_000  # of a plan; to need more is to need what nobody will do
_MOST_SAMPLES = 10_000_000


@dataclass(frozen=True)
class OverSamples:
    """The 95% interval of a mean over seeds, had other test samples been drawn; of a ratio, where it is of a gain."""

    low: float
    high: float
    samples: int  # different ones, over all seeds


@dataclass(frozen=True)
class Power:
    """What it takes to tell an effect of the observed size from a bar, in 4 of 5 studies, at the 5% level.

    Each assumes that the other source of chance is as it was; None: nothing of use would do, or it is there already.
    """

    samples: int | None  # different test samples, over all seeds of a method
    seeds: int | None


Values = Mapping[int, Sequence[tuple[float, float]]]
"""Client -> value and weight of each of its test samples, in order; its score is the sum of values over the sum of
weights. The value of a loss is summed over tokens, of which the weight is the number; other weights are 1."""

Rows = Mapping[int, Sequence[str]]
"""Client -> the key of the row that each of these is, the same in every run of the same data."""


def values_of(answers: Iterable[Mapping[str, Any]], metric: Metric) -> tuple[Values, Rows] | tuple[None, None]:
    """Return the values of single answers of which a client's score is the mean, and the rows that they are to; None
    where a score is no mean.

    Args:
        answers: the lines of the cell's file, in order.
        metric: what is scored.
    """
    if metric.pooled or not (metric.name == LOSS or type(metric).mean is Metric.mean):
        return None, None
    values: dict[int, list[tuple[float, float]]] = {}
    rows: dict[int, list[str]] = {}
    for answer in answers:
        if metric.name not in answer:
            return None, None
        value: Any = answer[metric.name]
        weight: Any = answer.get("tokens") if metric.name == LOSS else 1
        if all(isinstance(one, int | float) and math.isfinite(one) for one in (value, weight)) and weight > 0:
            values.setdefault(answer["client"], []).append((float(value), float(weight)))
            rows.setdefault(answer["client"], []).append(row_key(answer["instruction"], answer["reference"]))
        elif metric.needs_all:
            return None, None
        # Else what has no value by one method has none by any, as a free answer no accuracy: draws stay paired.
    return (values, rows) if values else (None, None)


def row_key(instruction: str, reference: str) -> str:
    """Return the key of a row: 6 letters, so that of 1,000 rows hardly two have the same."""
    text = f"{instruction}\x1f{reference}".encode(errors="surrogatepass")  # a file may hold half a character
    return hashlib.blake2b(text, digest_size=3).hexdigest()


def distinct(rows: Iterable[Rows | None]) -> int | None:
    """Return how many different rows these are; None where some are not known."""
    known = list(rows)
    if any(one is None for one in known):
        return None
    return len({key for one in known if one for own in one.values() for key in own})


def resampled(values: Values | None, rows: Rows | None, samples: str) -> Doubles | None:
    """Return a run's score in a cell on each of `DRAWS` draws of the test rows; None where no values are known, or a
    client has a single one, which says nothing of others. Of few rows a draw may leave the range of the score.

    A draw gives every row a weight from Exp(1) (the Bayesian bootstrap, Rubin 1981). The mean of n rows varies by
    (n - 1) / (n + 1) of the variance of a mean then, so deviations are made as much larger.

    Args:
        values: of its answers.
        rows: that they are to; None: not known, and each is another than those of other cells and seeds.
        samples: digest of who was asked what, by which such rows are told apart.
    """
    clients = []
    for client, own in (values or {}).items():
        keys = [f"{samples} {client} {place}" for place in range(len(own))] if rows is None else rows[client]
        if (n := len(set(keys))) < 2:
            return None
        pairs, weights = np.array(own), np.stack([_weights(key) for key in keys], axis=1)
        drawn = weights @ pairs
        score = pairs[:, 0].sum() / pairs[:, 1].sum()
        wider = math.sqrt((n + 1) / (n - 1))
        clients.append(score + (drawn[:, 0] / drawn[:, 1] - score) * wider)
    if not clients:
        return None
    found: Doubles = np.mean(clients, axis=0)
    return found


@lru_cache(maxsize=4096)
def _weights(key: str) -> Doubles:
    """Return the weight of a row in each draw."""
    found: Doubles = numpy_generator(0, "test row", key).standard_exponential(DRAWS)
    return found


def interval(draws: Sequence[Doubles], samples: int) -> OverSamples | None:
    """Return the interval of the mean over seeds of what was drawn at each; None where a draw has no finite value."""
    mean = np.mean(draws, axis=0)
    if not np.isfinite(mean).all():
        return None
    low, high = np.quantile(mean, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return OverSamples(float(low), float(high), samples)


def power(distance: float, of_samples: float | None, samples: int, of_seeds: float | None) -> Power:
    """Say what a difference takes to be seen: more test samples than there are, or so many seeds.

    Args:
        distance: of the observed effect from the bar.
        of_samples: standard error of the effect over test samples; None: not known.
        samples: the number of different ones.
        of_seeds: standard deviation of the effect between seeds; None: there is one.
    """
    if distance == 0:
        return Power(None, None)
    by_sample = None
    if of_samples is not None:
        by_sample = _needed(norm.ppf, of_samples * math.sqrt(samples) / abs(distance), _MOST_SAMPLES)
        # Where there are enough, more of them would not help: seeds differ.
        by_sample = by_sample if by_sample is not None and by_sample > samples else None
    return Power(by_sample, None if of_seeds is None else _needed_seeds(of_seeds / abs(distance)))


def _needed_seeds(relative: float) -> int | None:
    """Of a few seeds the deviation is uncertain itself, which Student's t allows for."""
    seeds = _needed(norm.ppf, relative, MOST_SEEDS)
    while seeds is not None and seeds < (_sum(student_t(seeds - 1).ppf) * relative) ** 2:
        seeds += 1
    return seeds


def _needed(quantile: Callable[[float], float], relative: float, most: int) -> int | None:
    found = (_sum(quantile) * relative) ** 2
    return max(2, math.ceil(found)) if found <= most else None


def _sum(quantile: Callable[[float], float]) -> float:
    return float(quantile((1 + CONFIDENCE) / 2) + quantile(POWER))
