"""The oracle: groups, pools and answers by the true task label. What perfect clustering and routing would give."""

from collections.abc import Sequence
from dataclasses import replace

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import tasks_of
from fedrouter_sim.federation.client import Client
from fedrouter_sim.methods.method import Asked, Choice, Deployment, Federation, Method, Plan, Pool, group_by, pools_of


class Oracle(Method):
    """One adapter per true task. A sample of a task that nobody trained is answered by the bare backbone."""

    name = "oracle"

    def plan(self, federation: Federation) -> Plan:
        """Group each client's examples by label; a pool a label.

        Raises:
            UserError: the data has no task labels.
        """
        return self._by_label(federation.clients, [])

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Group the new examples by label; labels that are new get pools of their own."""
        return self._by_label(federation.clients, plan.pools)

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the adapter of the sample's label."""
        by_label = {pool.label: pool.name for pool in deployment.pools}
        return [Choice.of(by_label.get(example.task)) for example in asked.examples]

    def _by_label(self, clients: Sequence[Client], known: Sequence[Pool]) -> Plan:
        found = tasks_of([example for client in clients for example in client.examples])
        if not found:
            raise UserError(
                f"--method {self.name} pools by task label and the data has none; name the column with --task-column"
            )
        labels = list(dict.fromkeys([*(pool.label or "" for pool in known), *found]))
        names = {label: f"label_{number}" for number, label in enumerate(labels)}
        groups = tuple(
            group for client in clients for group in group_by(client, [names[e.task or ""] for e in client.examples])
        )
        pools = [
            replace(pool, label=label)
            for label, pool in zip(labels, pools_of(groups, clients, list(names.values())), strict=True)
        ]
        longest = {pool.name: pool.answer_tokens for pool in known}
        return Plan(
            groups, tuple(replace(p, answer_tokens=max(p.answer_tokens, longest.get(p.name, 1))) for p in pools)
        )
