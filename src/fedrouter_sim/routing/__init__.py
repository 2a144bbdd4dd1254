"""Routing: task centroids, the recipe that embeds a text, and the rules that choose among the centroids."""

from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.routing.rule import RoutingRule

GLOBAL, LOCAL, FIXED, ORACLE, BARE = ROUTINGS = ("global", "local", "fixed", "oracle", "none")
"""How a test sample finds its adapter: the router over all tasks, or over those of the client's own centroids; the
method's only way; the true label; not at all, so that the bare backbone answers."""

CENTROID, PROTOTYPES = "centroid", "prototypes"

ROUTERS: "Table[RoutingRule]" = Table(
    kind="router",
    flag="--router",
    base="fedrouter_sim.routing.rule:RoutingRule",
    rows={
        CENTROID: "fedrouter_sim.routing.centroid:NearestCentroid",
        PROTOTYPES: "fedrouter_sim.routing.prototypes:NearestPrototype",
    },
    older={"nearest": CENTROID},
)


def find_router(name: str, options: Options | None = None) -> "RoutingRule":
    """Return the rule of a router by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such router.
    """
    return ROUTERS.find(name, options)


def task_name(task: int) -> str:
    """Return the pool name of a task adapter."""
    return f"task_{task}"
