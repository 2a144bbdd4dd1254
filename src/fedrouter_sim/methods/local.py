"""Local training: one group and one pool a client; nothing is shared."""

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


def client_pool(client: int) -> str:
    """Return the name of a client's own pool."""
    return f"client_{client:03d}"


class Local(Method):
    """Each client answers with the adapter it trained alone."""

    name = "local"
    ignores = CLUSTERING_SETTINGS

    def plan(self, federation: Federation) -> Plan:
        """Put every client's examples, as one group, into a pool of its own."""
        clients = federation.clients
        groups = [group for c in clients for group in group_by(c, [client_pool(c.id)] * len(c.examples))]
        return Plan(tuple(groups), pools_of(groups, clients, [client_pool(client.id) for client in clients]))

    def answered_by(self, pools: Sequence[Pool], router: Router | None, asked: Asked, routing: str) -> list[str | None]:
        """Answer by the client's own adapter."""
        return [client_pool(asked.client)] * len(asked.examples)
