"""FedAvg (McMahan et al. 2017, arXiv 1602.05629): one group per client, one pool, one adapter for everyone."""

from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import whole_group
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Plan, pools_of
from fedrouter_sim.methods.method import Method

POOL = "global"


class FedAvg(Method):
    """The global adapter answers everything."""

    name = "fedavg"

    def plan(self, federation: Federation) -> Plan:
        """Put every client's examples, as one group, into the one pool."""
        groups = tuple(whole_group(client, POOL) for client in federation.clients)
        return Plan(groups, pools_of(groups, [POOL]))

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the global adapter."""
        return [Choice.of(POOL)] * len(asked.instructions)
