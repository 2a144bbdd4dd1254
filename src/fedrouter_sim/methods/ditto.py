"""Ditto (Li et al. 2021, arXiv 2012.04221): a personal adapter per client, pulled towards the global one."""

from dataclasses import replace

from fedrouter_sim.adapters.aggregation import AGGREGATIONS, MEAN
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Pull, whole_group
from fedrouter_sim.federation.plan import Plan, pools_of
from fedrouter_sim.federation.privacy import UPDATES
from fedrouter_sim.methods.fedavg import POOL
from fedrouter_sim.methods.local import Local


class Ditto(Local):
    """Each client trains a shared adapter as in FedAvg and, over the same examples, a personal one, which answers.

    The personal one adds lambda / 2 times its squared distance to the global adapter of the round's start. The two
    share the client's local steps.
    """

    name = "ditto"
    uses = frozenset({"ditto_lambda"})

    def releases(self, config: RunConfig) -> tuple[str, ...]:
        """The updates of the shared adapter; the personal ones stay with their clients."""
        return (UPDATES,)

    def plan(self, federation: Federation) -> Plan:
        """Give every client a personal group, planned as `local` does, and a group in the shared pool.

        Raises:
            UserError: there is a pull, and the shared adapter's factors are of no basis that those of the personal ones
                are of, so that a distance between them means nothing.
        """
        config = federation.config
        if config.ditto_lambda and not AGGREGATIONS.class_of(config.aggregation).keeps_basis:
            raise UserError(
                f"--aggregation {config.aggregation}: gives the shared adapter other factors after each round, to "
                "which those of personal adapters have no distance that means anything; with ditto take another rule, "
                f"as {MEAN}, or --ditto-lambda 0"
            )
        personal = super().plan(federation)
        pull = Pull(POOL, config.ditto_lambda)
        groups = tuple(
            group
            for client, own in zip(federation.clients, personal.groups, strict=True)
            for group in (replace(own, pull=pull), whole_group(client, POOL, rank=1))
        )
        return Plan(groups, (*personal.pools, *pools_of(groups[1::2], [POOL])))
