"""Local training: one group and one pool a client; nothing is shared."""

from dataclasses import replace

from fedrouter_sim.methods.method import (
    Asked,
    Choice,
    Deployment,
    Federation,
    Method,
    Plan,
    client_pool,
    pools_of,
    whole_group,
)


class Local(Method):
    """Each client answers with the adapter it trained alone."""

    name = "local"

    def plan(self, federation: Federation) -> Plan:
        """Put every client's examples, as one group, into a pool of its own."""
        clients = federation.clients
        groups = tuple(whole_group(client, client_pool(client.id)) for client in clients)
        pools = pools_of(groups, clients, [group.pool for group in groups])
        return Plan(groups, tuple(replace(pool, private=True) for pool in pools))

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the client's own adapter."""
        return [Choice.of(client_pool(asked.client))] * len(asked.examples)
