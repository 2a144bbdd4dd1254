"""Local training: one group and one pool per client; nothing is shared."""

from dataclasses import replace

from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import whole_group
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Plan, client_pool, pools_of
from fedrouter_sim.methods.method import Method


class Local(Method):
    """Each client answers with the adapter it trained alone."""

    name = "local"

    def releases(self, config: RunConfig) -> tuple[str, ...]:
        """Nothing is sent."""
        return ()

    def plan(self, federation: Federation) -> Plan:
        """Put every client's examples, as one group, into a pool of its own."""
        groups = tuple(whole_group(client, client_pool(client.id)) for client in federation.clients)
        pools = pools_of(groups, [group.pool for group in groups])
        return Plan(groups, tuple(replace(pool, private=True) for pool in pools))

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the client's own adapter."""
        return [Choice.of(client_pool(asked.client))] * len(asked.instructions)
