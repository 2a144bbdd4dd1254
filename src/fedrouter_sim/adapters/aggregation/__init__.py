"""Aggregation rules, one file each: how the updates of a pool become its adapter."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.adapters.aggregation.rule import Aggregation
    from fedrouter_sim.adapters.state import Adapter

MEAN, PRODUCT = "mean", "product"

AGGREGATIONS: "Table[Aggregation]" = Table(
    kind="aggregation rule",
    flag="--aggregation",
    base="fedrouter_sim.adapters.aggregation.rule:Aggregation",
    rows={
        MEAN: "fedrouter_sim.adapters.aggregation.mean:WeightedMean",
        PRODUCT: "fedrouter_sim.adapters.aggregation.product:ProductMean",
        "median": "fedrouter_sim.adapters.aggregation.median:Median",
        "trimmed-mean": "fedrouter_sim.adapters.aggregation.trimmed_mean:TrimmedMean",
        "krum": "fedrouter_sim.adapters.aggregation.krum:Krum",
        "geometric-median": "fedrouter_sim.adapters.aggregation.geometric_median:GeometricMedian",
    },
    given=("rank",),
)


def find_aggregation(name: str, rank: int, options: Options | None = None) -> "Callable[[], Aggregation]":
    """Return what begins a running aggregate, by the name of its rule or the user's own by FILE.py:CLASS.

    Args:
        name: the value of --aggregation.
        rank: of the result.
        options: `--option` values by name.

    Raises:
        UserError: there is no such rule.
    """
    new_aggregation = AGGREGATIONS.maker(name, options, rank=rank)
    new_aggregation()  # what is wrong shows before the first round
    return new_aggregation


def add_to(running: "Aggregation", adapter: "Adapter", weight: float, pool: str) -> None:
    """Add an adapter to the running aggregate of a pool.

    Raises:
        UserError: the rule, which may be the user's own, fails.
    """
    try:
        running.add(adapter, weight)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"--aggregation: {type(running).__name__} could not add an update of {pool} ({type(error).__name__}: "
            f"{first_line(error)})"
        ) from error


def aggregated(running: "Aggregation", like: "Adapter", shapes: bool = True, pool: str = "") -> "Adapter":
    """Return the result of a running aggregate, if it is of use.

    Args:
        running: to which at least one adapter was added.
        like: an adapter with the keys, and with `shapes` the shapes, that the result must have.
        shapes: whether shapes are compared.
        pool: whose result it is, for messages.

    Raises:
        UserError: the rule fails, or its result lacks a key, has another shape or type, or is not finite.
    """
    from fedrouter_sim.adapters.state import check_compatible, check_finite, check_types

    try:
        found = running.result()
        if shapes:
            check_compatible(like, found)
        elif like.keys() != found.keys():
            raise ValueError("its keys are not those of the updates")
        check_finite(found)
        check_types(like, found)
    except UserError as error:
        raise UserError(f"{pool}: {error}" if pool else str(error)) from None
    except Exception as error:  # the rule may be the user's own
        said = f"--aggregation: {type(running).__name__} gave no usable adapter{f' for {pool}' if pool else ''}"
        raise UserError(f"{said} ({type(error).__name__}: {first_line(error)})") from error
    return found
