"""Splits, one file each: who holds how much of which task."""

from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.partition.splits.split import Split

SPLITS: "Table[Split]" = Table(
    kind="split",
    flag="--split",
    base="fedrouter_sim.partition.splits.split:Split",
    rows={
        "single": "fedrouter_sim.partition.splits.single:Single",
        "dual": "fedrouter_sim.partition.splits.dual:Dual",
        "all": "fedrouter_sim.partition.splits.all:All",
        "dirichlet": "fedrouter_sim.partition.splits.dirichlet:Dirichlet",
        "natural": "fedrouter_sim.partition.splits.natural:Natural",
    },
)


def find_split(name: str, options: Options | None = None) -> "Split":
    """Return a split by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such split.
    """
    return SPLITS.find(name, options)
