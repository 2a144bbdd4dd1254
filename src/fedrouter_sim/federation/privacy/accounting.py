"""What releases add up to, by the accountant of Opacus, an optional package."""

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec

from fedrouter_sim.errors import UserError, first_line

History = Sequence[tuple[float, float, int]]
"""Releases as Opacus counts them: noise multiplier, sample rate, and how often."""

_MORE_ORDERS = (80, 96, 128, 192, 256, 512, 1024)  # beyond those of Opacus, for small epsilons
_MOST_SCALE = 1e7
_LEAST_SCALE = 1e-2
_PRECISION = 1e-4  # of a scale, relative
_REMEDY = "`pip install 'fedrouter-sim[privacy]'`"


def require_opacus() -> None:
    """Refuse where the optional package is missing, before any work.

    Raises:
        UserError: it is not installed.
    """
    if find_spec("opacus") is None:
        raise UserError(f"--dp-epsilon: the package opacus, whose accountant counts, is not installed; {_REMEDY}")


def orders_for(history: History) -> list[float]:
    """Return the orders of the divergences by which the best bound on releases is sought: those of Opacus and a few
    more. Where a release is of a sample, broken ones are left out: each takes a tenth of a second and more, and without
    them epsilon is a hundredth higher at most places, and nowhere lower."""
    from opacus.accountants import RDPAccountant

    orders = [*map(float, RDPAccountant.DEFAULT_ALPHAS), *map(float, _MORE_ORDERS)]
    if all(rate == 1 for _, rate, _ in history):
        return orders
    return [float(order) for order in range(2, 12)] + [order for order in orders if order > 11]


def epsilon_of(history: History, delta: float) -> float:
    """Return the epsilon of all releases together at a delta, by Rényi differential privacy; 0 for none.

    Raises:
        UserError: Opacus is missing or of a version without this accountant.
    """
    require_opacus()
    try:
        from opacus.accountants import RDPAccountant

        accountant = RDPAccountant()
        alphas = orders_for(history)
    except Exception as error:  # whatever another version of it does
        raise UserError(
            f"--dp-epsilon: the package opacus has no accountant of use here ({first_line(error)}); {_REMEDY}"
        ) from error
    accountant.history = [release for release in history if release[2] > 0]
    if not accountant.history:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the best order is the last one: the bound holds all the same
        return float(accountant.get_epsilon(delta=delta, alphas=alphas))


def least_scale(history: Callable[[float], History], epsilon: float, delta: float) -> float:
    """Return the least scale, to a ten-thousandth, whose releases stay within an epsilon.

    Args:
        history: the releases at a scale that all their noise multipliers are multiplied by.
        epsilon: the most that they may add up to.
        delta: at which.

    Raises:
        UserError: no noise is enough.
    """

    def within(scale: float) -> bool:
        return epsilon_of(history(scale), delta) <= epsilon

    high = 1.0
    while not within(high):
        high *= 2
        if high > _MOST_SCALE:
            raise UserError(f"--dp-epsilon {epsilon:g}: no noise is enough for it at --dp-delta {delta:g}; raise it")
    low = high / 2
    while low > _LEAST_SCALE and within(low):
        low, high = low / 2, low
    while high / low > 1 + _PRECISION:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if within(middle) else (middle, high)
    return high
