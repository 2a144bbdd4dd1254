"""Simulations of methods, and what was heard of them."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from fedrouter_sim.adapters import Adapter
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import METHODS, Federation, Plan
from fedrouter_sim.operations.prepare import deal_data, drifted_clients
from fedrouter_sim.simulation import Observer, Outcome, RoundRecord, simulate


@dataclass
class Heard(Observer):
    """Keeps the plans, updates and adapters of a simulation, by round."""

    plans: list[tuple[int, Plan]] = field(default_factory=list)  # (rounds done before, plan)
    expected: list[tuple[int, int]] = field(default_factory=list)  # rounds and steps that a plan announced
    updates: dict[int, list[Update]] = field(default_factory=dict)
    adapters: dict[int, dict[str, Adapter]] = field(default_factory=dict)

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self.plans.append((len(self.adapters), plan))
        self.expected.append((rounds, steps))

    def received(self, update: Update) -> None:
        self.updates.setdefault(update.round, []).append(update)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        self.adapters[record.round] = dict(adapters)


@dataclass(frozen=True)
class Simulated:
    """A simulation: what went in, what came out, what was heard."""

    federation: Federation
    outcome: Outcome
    heard: Heard


Simulator = Callable[..., Simulated]


@pytest.fixture(scope="session")
def run_method(federate: Callable[..., Federation], backbone: object) -> Simulator:
    """Return a function that simulates a method by name under the micro settings with changes."""

    def run(method: str, **changes: object) -> Simulated:
        federation, heard = federate(method=method, **changes), Heard()
        config = federation.config
        drifted = drifted_clients(config, deal_data(config), federation.backbone)
        return Simulated(federation, simulate(federation, METHODS[method], heard, drifted), heard)

    return run
