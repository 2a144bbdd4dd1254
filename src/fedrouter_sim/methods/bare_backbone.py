"""The bare backbone: nothing is trained, nothing is sent."""

from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Plan
from fedrouter_sim.methods.method import Method


class BareBackbone(Method):
    """The backbone alone answers everything."""

    name = "base"
    trains = False

    def releases(self, config: RunConfig) -> tuple[str, ...]:
        """Nothing is sent."""
        return ()

    def plan(self, federation: Federation) -> Plan:
        """Train nothing."""
        return Plan()

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the bare backbone."""
        return [Choice()] * len(asked.instructions)
