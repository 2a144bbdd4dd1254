"""Routing: task centroids, the recipe that embeds a text, and the rules that choose among the centroids."""

import re
from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.routing.rule import RoutingRule

GLOBAL, LOCAL, FIXED, ORACLE, BARE = ROUTINGS = ("global", "local", "fixed", "oracle", "none")
"""How a test sample finds its adapter: the router over all tasks, or over those of the client's own centroids; the
method's only way; the true label; not at all, so that the bare backbone answers."""

CENTROID, PROTOTYPES, SOFT, ENSEMBLE, KNN, ARROW = "centroid", "prototypes", "soft", "ensemble", "knn", "arrow"

ROUTERS: "Table[RoutingRule]" = Table(
    kind="router",
    flag="--router",
    base="fedrouter_sim.routing.rule:RoutingRule",
    rows={
        CENTROID: "fedrouter_sim.routing.centroid:NearestCentroid",
        PROTOTYPES: "fedrouter_sim.routing.prototypes:NearestPrototype",
        SOFT: "fedrouter_sim.routing.soft:SoftPrototypes",
        ENSEMBLE: "fedrouter_sim.routing.ensemble:Ensemble",
        KNN: "fedrouter_sim.routing.knn:NearestNeighbours",
        ARROW: "fedrouter_sim.routing.arrow:Arrow",
    },
    older={"nearest": CENTROID},
)


def find_router(name: str, options: Options | None = None) -> "RoutingRule":
    """Return the rule of a router by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such router.
    """
    return ROUTERS.find(name, options)


def router_label(name: str, options: Options) -> str:
    """Return what tables and files call a router with its options, such as 'soft' or 'soft+nearest=3'.

    Raises:
        UserError: there is no such router.
    """
    rule = ROUTERS.class_of(name)
    own = [f"{option}={options[option]}" for option in ROUTERS.option_names(rule) if option in options]
    return re.sub(r"[^\w +.=-]", "_", "+".join([rule.name, *own]))


def task_name(task: int) -> str:
    """Return the pool name of a task adapter."""
    return f"task_{task}"
