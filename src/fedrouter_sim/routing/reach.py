"""Reach: how far from its nearest prototype a text of known kind usually lies, and how unseen another one is.

Clients describe the distances of their calibration rows by quantiles; the server pools them. The score of a text goes
by the reach of all tasks together: by the own reach of the nearest task it told held-out tasks less well, since few
rows calibrate a task. The reach of each task is there to be shown.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Floats, Ints

Numbers = NDArray[np.float64]

LEVELS: Numbers = np.concatenate([np.arange(20) / 20, np.arange(96, 101) / 100])
"""The levels of the quantiles that describe distances: 0, 5%, ... 95%, 96%, ... 100%."""

UNSEEN_ABOVE = 0.99
"""The score above which a text counts as unseen: about one in a hundred test texts of trained tasks does."""

TEMPERATURES: Numbers = np.logspace(-4, 4, 33)
"""The temperatures to choose from, four to a factor of ten: squared distances are a few at most between unit rows, and
hundreds or more between standardised ones."""

_AS_GOOD = 1e-3  # nats
_MEDIAN, _NEARLY_ALL = 10, 19  # places of 50% and 95% among the levels
_FALL = 4.6  # how fast the rest falls: at 99% of normally distributed distances, 0.4 spreads on, it is 1%


def quantiles_by_task(distances: Numbers, tasks: Ints, count: int) -> tuple[Floats, Ints]:
    """Describe distances by their quantiles.

    Args:
        distances: (n,).
        tasks: (n,), the task of each.
        count: T, how many tasks there are.

    Returns:
        The quantiles at `LEVELS`, (T, 25), zeros where there is no distance; and how many distances there are, (T,).
    """
    counts = np.bincount(tasks, minlength=count).astype(np.int64)
    found = np.zeros((count, len(LEVELS)), dtype=np.float32)
    for task in np.flatnonzero(counts):
        found[task] = np.quantile(distances[tasks == task], LEVELS)
    return found, counts


def pooled(quantiles: Floats, counts: Ints) -> Floats:
    """Return the quantiles (25,) of several sets of values together.

    A set's values are taken to lie evenly between its quantiles.

    Args:
        quantiles: (k, 25), of each set.
        counts: (k,), how many values each set has, at least one in all.
    """
    # In steps of a hundredth, of which the first and the last stand for half as many values as the others.
    steps = np.arange(101) / 100
    sets = [(quantiles[i].astype(np.float64), float(counts[i])) for i in np.flatnonzero(counts)]
    values = np.concatenate([np.interp(steps, LEVELS, own) for own, _ in sets])
    weights = np.concatenate([count * np.where((steps == 0) | (steps == 1), 0.5, 1) for _, count in sets])
    order = np.argsort(values, kind="stable")
    middles = (np.cumsum(weights[order]) - weights[order] / 2) / weights.sum()
    return np.asarray(np.interp(LEVELS, middles, values[order]), dtype=np.float32)


def unseen_score(distances: Numbers, reach: Floats) -> Numbers:
    """Return how unseen texts are, (n,), in [0, 1): rising with distance.

    Up to the 95% quantile it is the share of calibration rows that lie nearer, piecewise linear. With d beyond it, it
    is 1 - 0.05 (1 + (d - q95) / (q95 - q50)) ** -4.6, so that no two distances have the same score.

    Args:
        distances: (n,), of each text to its nearest prototype.
        reach: (25,), the quantiles of calibration rows' distances at `LEVELS`.
    """
    most = float(reach[_NEARLY_ALL])
    spread = max(most - float(reach[_MEDIAN]), 1e-6 * max(most, 1e-6))
    within = np.interp(distances, [0.0, *reach[1 : _NEARLY_ALL + 1]], LEVELS[: _NEARLY_ALL + 1])
    beyond = 1 - (1 - LEVELS[_NEARLY_ALL]) * (1 + np.maximum(distances - most, 0) / spread) ** -_FALL
    return np.asarray(np.where(distances > most, beyond, within), dtype=np.float64)


def counts_as_unseen(score: float | None) -> bool:
    """Say whether a text of this score counts as unseen; without a score it does not."""
    return score is not None and score > UNSEEN_ABOVE


def temperature_losses(distances: Numbers, tasks: Ints) -> Numbers:
    """Return the mean negative log likelihood of rows' tasks under softmax(-distance^2 / temperature), in nats.

    Args:
        distances: (n, T), of each row to each task's nearest prototype.
        tasks: (n,), the task of each row.

    Returns:
        One for each of `TEMPERATURES`, (33,).
    """
    squared = distances**2
    nearer = squared.min(axis=1, keepdims=True) - squared  # 0 at the nearest task, so that nothing underflows
    losses = []
    for temperature in TEMPERATURES:
        logits = nearer / temperature
        losses.append(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(tasks)), tasks]))
    return np.array(losses)


def best_temperature(losses: Sequence[Numbers], counts: Sequence[int]) -> float:
    """Return the temperature with the least loss over all rows: the highest of those within 0.001 nats of it, since the
    loss of tasks that are told apart without error falls with the temperature for ever.

    Args:
        losses: of each client, (33,), means over its rows.
        counts: the rows of each client.
    """
    mean = np.average(np.stack(losses), axis=0, weights=counts)
    return float(TEMPERATURES[np.flatnonzero(mean <= mean.min() + _AS_GOOD)[-1]])
