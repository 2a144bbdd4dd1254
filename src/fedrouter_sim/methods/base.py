"""The bare backbone: nothing is trained, nothing is sent."""

from collections.abc import Sequence

from fedrouter_sim.methods.method import CLUSTERING_SETTINGS, TRAINING_SETTINGS, Asked, Federation, Method, Plan, Pool
from fedrouter_sim.router import Router


class Base(Method):
    """The backbone alone answers everything."""

    name = "base"
    ignores = CLUSTERING_SETTINGS | TRAINING_SETTINGS

    def plan(self, federation: Federation) -> Plan:
        """Train nothing."""
        return Plan()

    def answered_by(self, pools: Sequence[Pool], router: Router | None, asked: Asked, routing: str) -> list[str | None]:
        """Answer by the bare backbone."""
        return [None] * len(asked.examples)
