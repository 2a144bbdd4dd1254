"""The oracle: groups, pools and answers by the true task label. What perfect clustering and routing would give."""

from collections.abc import Sequence

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples import tasks_of
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


class Oracle(Method):
    """One adapter per true task. A sample of a task that nobody trained is answered by the bare backbone."""

    name = "oracle"
    ignores = CLUSTERING_SETTINGS

    def plan(self, federation: Federation) -> Plan:
        """Group each client's examples by label; a pool a label.

        Raises:
            UserError: the data has no task labels.
        """
        clients = federation.clients
        labels = tasks_of([example for client in clients for example in client.examples])
        if not labels:
            raise UserError(
                "--method oracle pools by task label and the data has none; name the column with --task-column"
            )
        pool = {label: f"label_{number}" for number, label in enumerate(labels)}
        groups = [
            group for client in clients for group in group_by(client, [pool[e.task or ""] for e in client.examples])
        ]
        names = list(pool.values())
        return Plan(tuple(groups), pools_of(groups, clients, names, {name: label for label, name in pool.items()}))

    def answered_by(self, pools: Sequence[Pool], router: Router | None, asked: Asked, routing: str) -> list[str | None]:
        """Answer by the adapter of the sample's label."""
        by_label = {pool.label: pool.name for pool in pools}
        return [by_label.get(example.task) for example in asked.examples]
