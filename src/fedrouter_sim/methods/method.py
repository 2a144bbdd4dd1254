"""What a method is: which groups and pools, how a group trains, and who answers a test sample."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, LastRound, Plan, with_groups
from fedrouter_sim.federation.privacy import UPDATES
from fedrouter_sim.federation.privacy.budget import Budget
from fedrouter_sim.federation.privacy.expecting import refused_with_privacy
from fedrouter_sim.routing import FIXED


class Method(ABC):
    """A federated method. A new one is a subclass: in the user's own file (`--method FILE.py:CLASS`), or in a file here
    and a row in the table of `methods/__init__.py`."""

    name: ClassVar[str]
    uses: ClassVar[frozenset[str]] = frozenset()
    """The settings that have an effect with this method and not with every one: giving another's is noted, and with
    other values of these a run is the same, which studies go by. One with `sharing` says that its shared pools are
    tasks, among which sharing rules share."""
    trains: ClassVar[bool] = True
    """Whether there is any training; where not, the training settings are noted as without effect as well."""
    routings: ClassVar[tuple[str, ...]] = (FIXED,)
    """How test samples may find their adapter; 'fixed' where the method leaves nothing to choose."""
    answers_by_label: ClassVar[bool] = False
    """Whether it answers by true task labels: then it is an upper bound, and is asked by `Labelled`."""

    plans_by_clients: ClassVar[bool] = False
    """Whether it plans anew by what single clients sent in training: then it is refused with differential privacy."""

    def releases(self, config: RunConfig) -> tuple[str, ...]:
        """Return the kinds of what clients send (`federation.privacy.KINDS`), for differential privacy to pay for: each
        once, and updates in every round. What is sent beyond them is refused then."""
        return (UPDATES,)

    def budget(self, config: RunConfig) -> Budget | None:
        """Return the budget of a run with differential privacy; None without.

        Raises:
            UserError: the method cannot be had with it, or Opacus is missing.
        """
        if not config.dp_epsilon:
            return None
        if self.answers_by_label:
            raise UserError(refused_with_privacy(self.name, "pools by true labels, which clients do not send"))
        if self.plans_by_clients:
            raise UserError(refused_with_privacy(self.name, "plans by what single clients sent"))
        return Budget.of(config, self.releases(config))

    @abstractmethod
    def plan(self, federation: Federation) -> Plan:
        """Say which groups train and which pools average them, from what clients answer."""

    @abstractmethod
    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Say who answers each sample.

        Args:
            deployment: pools, router and what else the method kept of training.
            asked: n texts, with embeddings on demand, and who asks; `Labelled` where the method `answers_by_label`.
            routing: one of the method's `routings`.

        Returns:
            n choices, in the order of the texts.
        """

    def next_plan(self, federation: Federation, last: LastRound) -> Plan:
        """Plan anew after the round `until` of a plan with `more_follows`."""
        raise NotImplementedError(f"method {self.name}: its plan says that more follows, and it has no next_plan")

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Return the plan after the clients' data have changed (drift): here every group takes all of its client's new
        examples. A method whose groups split a client's data has to say how."""
        facts = {client.id: client for client in federation.clients}
        groups = tuple(
            replace(
                group,
                examples=tuple(range(facts[group.client].examples)),
                answer_tokens=facts[group.client].answer_tokens,
            )
            for group in plan.groups
        )
        return with_groups(plan, groups)
