"""Aggregation rules, one file each: how the updates of a pool become its adapter."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.adapters.aggregation.rule import Aggregation

MEAN, PRODUCT = "mean", "product"

AGGREGATIONS: "Table[Aggregation]" = Table(
    kind="aggregation rule",
    flag="--aggregation",
    base="fedrouter_sim.adapters.aggregation.rule:Aggregation",
    rows={
        MEAN: "fedrouter_sim.adapters.aggregation.mean:WeightedMean",
        PRODUCT: "fedrouter_sim.adapters.aggregation.product:ProductMean",
    },
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
