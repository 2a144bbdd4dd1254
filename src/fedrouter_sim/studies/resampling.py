"""What a score would have been on other test samples: bootstrap over the samples of each client.

All methods of a seed answer the same samples, and all are scored on the same draws of them, so that what two methods
have in common falls out of their difference: the bootstrap is paired. SciPy's (`scipy.stats.bootstrap`, paired) draws
over all samples at once; this one keeps each client's number of them, as scores are means over clients.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
_MOST = 10_000_000  # samples or seeds: more are no plan


@dataclass(frozen=True)
class OverSamples:
    """The 95% interval of a mean over seeds, had other test samples been drawn; of a ratio, where it is of a gain."""

    low: float
    high: float
    samples: int  # over all seeds


@dataclass(frozen=True)
class Power:
    """What it takes to tell a difference of the observed size from none, in 4 of 5 studies, at the 5% level.

    Each assumes that the other source of chance is as it was; None: nothing of use would do.
    """

    samples: int | None  # test samples, over all seeds of a method
    seeds: int | None


Values = Mapping[int, Sequence[tuple[float, float]]]
"""Client -> value and weight of each of its test samples, in order."""


def values_of(answers: Iterable[Mapping[str, Any]], metric: Metric) -> Values | None:
    """Return the values of single answers whose weighted mean is a client's score; None where a score is no mean.

    Args:
        answers: the lines of the cell's file, in order.
        metric: what is scored.
    """
    if metric.pooled or not (metric.name == LOSS or type(metric).mean is Metric.mean):
        return None
    known: dict[int, list[tuple[float, float]]] = {}
    for answer in answers:
        if metric.name not in answer:
            return None
        value: Any = answer[metric.name]
        weight: Any = answer.get("tokens") if metric.name == LOSS else 1
        if all(isinstance(one, int | float) and math.isfinite(one) for one in (value, weight)) and weight > 0:
            known.setdefault(answer["client"], []).append((float(value), float(weight)))
        elif metric.needs_all:
            return None
        # Else what has no value by one method has none by any, as a free answer no accuracy: draws stay paired.
    return known or None


def resampled(values: Values | None, samples: str) -> Doubles | None:
    """Return a run's score in a cell on each of `DRAWS` draws of its test samples; None where no values are known.

    Args:
        values: of its answers.
        samples: digest of who was asked what, which keys the draws: they are the same for all methods.
    """
    if not values:
        return None
    clients = []
    for client, own in values.items():
        generator = numpy_generator(0, "test samples", samples, client)
        drawn = generator.multinomial(len(own), np.full(len(own), 1 / len(own)), DRAWS) @ np.array(own)
        clients.append(drawn[:, 0] / drawn[:, 1])
    found: Doubles = np.mean(clients, axis=0)
    return found


def interval(draws: Sequence[Doubles], samples: int) -> OverSamples | None:
    """Return the interval of the mean over seeds of what was drawn at each; None where a draw has no finite value."""
    mean = np.mean(draws, axis=0)
    if not np.isfinite(mean).all():
        return None
    low, high = np.quantile(mean, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return OverSamples(float(low), float(high), samples)


def power(distance: float, of_samples: float | None, samples: int, of_seeds: float | None) -> Power:
    """Say what a difference takes to be seen.

    Args:
        distance: of the observed effect from the bar.
        of_samples: standard error of the effect over test samples; None: not known.
        samples: their number.
        of_seeds: standard deviation of the effect between seeds; None: there is one.
    """
    if distance == 0:
        return Power(None, None)
    by_sample = None if of_samples is None else _needed(norm.ppf, of_samples * math.sqrt(samples) / abs(distance))
    return Power(by_sample, None if of_seeds is None else _needed_seeds(of_seeds / abs(distance)))


def _needed_seeds(relative: float) -> int | None:
    """Of a few seeds the deviation is uncertain itself, which Student's t allows for."""
    seeds = _needed(norm.ppf, relative)
    while seeds is not None and seeds < (_sum(student_t(seeds - 1).ppf) * relative) ** 2:
        seeds += 1
    return seeds


def _needed(quantile: Callable[[float], float], relative: float) -> int | None:
    found = (_sum(quantile) * relative) ** 2
    return max(2, math.ceil(found)) if found <= _MOST else None


def _sum(quantile: Callable[[float], float]) -> float:
    return float(quantile((1 + CONFIDENCE) / 2) + quantile(POWER))
