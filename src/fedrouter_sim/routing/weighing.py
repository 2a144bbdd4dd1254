"""What rules make of how far texts are from tasks: weights, the nearest task, and how sure that is."""

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.routing.rule import Routes


def task_weights(distances: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return the softmax of -d^2 / temperature over T tasks, (n, T), of L2 distances d (n, T)."""
    closeness = -(distances**2) / temperature
    weights = np.exp(closeness - closeness.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
    return shares


def nearest_task(distances: NDArray[np.float64], temperature: float) -> Routes:
    """Send each of n texts to the nearest of T tasks, the first of equal ones.

    Args:
        distances: L2 distances to the tasks, (n, T).
        temperature: of `task_weights`; the weight of the nearest task is the confidence.
    """
    return routes_to(distances.argmin(axis=1), distances, task_weights(distances, temperature).max(axis=1))


def routes_to(task: NDArray[np.int64], distances: NDArray[np.float64], confidence: NDArray[np.float64]) -> Routes:
    """Return routes to tasks (n,), chosen with a confidence (n,), from L2 distances (n, T).

    The margin is the distance to the nearest of the other tasks minus that to the task: below zero where the task is
    not the nearest.
    """
    own = np.take_along_axis(distances, task[:, None], axis=1)[:, 0]
    others = distances.copy()
    np.put_along_axis(others, task[:, None], np.inf, axis=1)
    return Routes(task, own, others.min(axis=1) - own, confidence=confidence)
