"""The oracle: groups, pools and answers by the true task label. What perfect clustering and routing would give."""

from collections.abc import Sequence
from dataclasses import replace

from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import group_by
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Labelled, Plan, Pool, pools_of
from fedrouter_sim.federation.questions import AskLabels
from fedrouter_sim.methods.method import Method


class Oracle(Method):
    """One adapter per true task. A sample of a task that nobody trained is answered by the bare backbone."""

    name = "oracle"
    uses = frozenset({"sharing", "lr_scaling"})
    answers_by_label = True

    def plan(self, federation: Federation) -> Plan:
        """Group each client's examples by label, with a pool per label.

        Raises:
            UserError: the data has no task labels, or not in every row.
        """
        return self._by_label(federation, [])

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Group the new examples by label; labels that are new get pools of their own."""
        return self._by_label(federation, plan.pools)

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the adapter of the sample's label.

        Raises:
            UserError: a sample has no label.
            ValueError: the samples come without labels at all, though the method `answers_by_label`.
        """
        if not isinstance(asked, Labelled):
            raise ValueError(f"method {self.name} answers by label, and is not told any")
        by_label = {pool.label: pool.name for pool in deployment.pools}
        for text, task in zip(asked.instructions, asked.tasks, strict=True):
            if task is None:
                raise UserError(
                    f"method {self.name} answers by true task label, and {text[:40]!r} has none; give JSONL with a "
                    "task per text, in the column that --task-column names, or take another method's run"
                )
        return [Choice.of(by_label.get(task)) for task in asked.tasks]

    def _by_label(self, federation: Federation, known: Sequence[Pool]) -> Plan:
        groupings = federation.ask(AskLabels())
        found = sorted({name for grouping in groupings for name in grouping.names})
        if "" in found:
            some = "some training examples have" if len(found) > 1 else "the data has"
            raise UserError(
                f"--method {self.name} pools by task label and {some} none; name the column with --task-column"
            )
        labels = list(dict.fromkeys([*(pool.label or "" for pool in known), *found]))
        names = {label: f"label_{number}" for number, label in enumerate(labels)}
        groups = tuple(
            group for grouping in groupings for group in group_by(grouping, [names[name] for name in grouping.names])
        )
        pools = [
            replace(pool, label=label)
            for label, pool in zip(labels, pools_of(groups, list(names.values())), strict=True)
        ]
        longest = {pool.name: pool.answer_tokens for pool in known}
        return Plan(
            groups, tuple(replace(p, answer_tokens=max(p.answer_tokens, longest.get(p.name, 1))) for p in pools)
        )
