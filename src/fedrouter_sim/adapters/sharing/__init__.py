"""Sharing rules, one file each: what the task adapters of a round take of each other, after each was aggregated."""

from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.adapters.sharing.rule import Sharing

SHARINGS: "Table[Sharing]" = Table(
    kind="sharing rule",
    flag="--sharing",
    base="fedrouter_sim.adapters.sharing.rule:Sharing",
    rows={"affinity": "fedrouter_sim.adapters.sharing.affinity:Affinity"},
)


def find_sharing(name: str, options: Options | None = None) -> "Sharing":
    """Return a sharing rule by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such rule, or an option has a value that it refuses.
    """
    return SHARINGS.find(name, options)
