"""FedProx (Li et al. 2020, arXiv 1812.06127): FedAvg whose clients are held near the round's global adapter."""

from dataclasses import replace

from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Pull
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.methods.fedavg import POOL, FedAvg


class FedProx(FedAvg):
    """As FedAvg; each client adds mu / 2 times the squared distance of (A, B) to the round's global adapter."""

    name = "fedprox"
    uses = frozenset({"fedprox_mu"})

    def plan(self, federation: Federation) -> Plan:
        """Plan as FedAvg does, with the pull."""
        plan = super().plan(federation)
        pull = Pull(POOL, federation.config.fedprox_mu)
        return replace(plan, groups=tuple(replace(group, pull=pull) for group in plan.groups))
