"""Central training: all data of a task in one place. An upper bound at an equal number of optimizer steps."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from fedrouter_sim.federation.client import Client, participants, share_steps
from fedrouter_sim.methods.method import Federation, Plan
from fedrouter_sim.methods.oracle import Oracle


class Central(Oracle):
    """As the oracle with a single client that holds everybody's examples; nothing is sent.

    A task takes as many steps a round as all clients together take for it in a federated run by task.
    """

    name = "central"

    def plan(self, federation: Federation) -> Plan:
        """Group all examples by label, in one place."""
        return self._gathered(federation, super().plan)

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Group the new examples by label, in one place."""
        return self._gathered(federation, lambda merged: super(Central, self).follow(merged, plan))

    def _gathered(self, federation: Federation, by_label: Callable[[Federation], Plan]) -> Plan:
        config = federation.config
        apart = by_label(federation)
        steps: Counter[str] = Counter()
        for client in federation.clients:
            groups = apart.groups_of(client.id)
            shares = share_steps(groups, config.local_steps, config.budget)
            steps.update({group.pool: share for group, share in zip(groups, shares, strict=True)})
        examples = [example for client in federation.clients for example in client.examples]
        everyone = Client(0, examples, federation.backbone, config)
        plan = by_label(replace(federation, clients=(everyone,)))
        # With partial participation only as many steps are taken as by a round's participants.
        participating = participants(len(federation.clients), config.participation) / len(federation.clients)
        grouped = tuple(replace(group, steps=max(1, round(steps[group.pool] * participating))) for group in plan.groups)
        pools = tuple(replace(pool, private=True) for pool in plan.pools)
        return replace(plan, groups=grouped, pools=pools, clients=(everyone,))
