"""FedAvg (McMahan et al. 2017, arXiv 1602.05629): one group a client, one pool, one adapter for everyone."""

from collections.abc import Sequence

from fedrouter_sim.methods.method import (
    CLUSTERING_SETTINGS,
    Asked,
    Federation,
    Method,
    Plan,
    Pool,
    group_by,
    pools_of,
)
from fedrouter_sim.router import Router

POOL = "global"


class FedAvg(Method):
    """The global adapter answers everything."""

    name = "fedavg"
    ignores = CLUSTERING_SETTINGS

    def plan(self, federation: Federation) -> Plan:
        """Put every client's examples, as one group, into the one pool."""
        groups = [group for client in federation.clients for group in group_by(client, [POOL] * len(client.examples))]
        return Plan(tuple(groups), pools_of(groups, federation.clients, [POOL]))

    def answered_by(self, pools: Sequence[Pool], router: Router | None, asked: Asked, routing: str) -> list[str | None]:
        """Answer by the global adapter."""
        return [POOL] * len(asked.examples)
