"""Central training: all data of a task in one place. An upper bound at an equal number of optimizer steps."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.schedule import client_steps, expected_share
from fedrouter_sim.methods.oracle import Oracle


class Central(Oracle):
    """As the oracle with a single client that holds everybody's examples; nothing is sent.

    A task takes as many steps per round as all clients together take for it in a federated run by task.
    """

    name = "central"
    uses = frozenset()  # a task's rows are in one place: there is nothing to share at a server

    def plan(self, federation: Federation) -> Plan:
        """Group all examples by label, in one place."""
        return self._gathered(federation, super().plan)

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Group the new examples by label, in one place."""
        return self._gathered(federation, lambda merged: super(Central, self).follow(merged, plan))

    def _gathered(self, federation: Federation, by_label: Callable[[Federation], Plan]) -> Plan:
        apart = by_label(federation)
        steps: Counter[str] = Counter()
        for client in federation.ids:
            shares = client_steps(apart, client, federation.config)
            steps.update({group.pool: n for group, n in zip(apart.groups_of(client), shares, strict=True)})
        plan = by_label(federation.gathered())
        # With partial participation only as many steps are taken as by a round's participants.
        participating = expected_share(len(federation.clients), federation.config)
        grouped = tuple(replace(group, steps=max(1, round(steps[group.pool] * participating))) for group in plan.groups)
        return replace(
            plan, groups=grouped, pools=tuple(replace(pool, private=True) for pool in plan.pools), gathered=True
        )
