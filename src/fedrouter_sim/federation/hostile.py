"""The hostile clients of a federation: who they are, what they train on, and how they lie in what they send."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import NO_ATTACK, RunConfig
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.attacks import find_attack
from fedrouter_sim.federation.attacks.attack import Attack, Sent
from fedrouter_sim.messages import Update
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.tables import parse_options


def attackers_of(clients: int, config: RunConfig) -> frozenset[int]:
    """Draw who is hostile: the share of the clients, rounded. Who is so in one share is so in every larger one.

    Args:
        clients: how many there are.
        config: the settings.
    """
    if config.attack == NO_ATTACK:
        return frozenset()
    order = numpy_generator(config.seed, "attackers").permutation(clients)
    return frozenset(order[: round(config.attackers * clients)].tolist())


def attack_of(config: RunConfig) -> Attack | None:
    """Return the attack of a run's settings; None where all are honest."""
    return None if config.attack == NO_ATTACK else find_attack(config.attack, parse_options(config.option))


def poisoned(attack: Attack, client: int, examples: Sequence[Example], seed: int) -> Sequence[Example]:
    """Return what a hostile client trains on."""
    return attack.rows(examples, numpy_generator(seed, "attack on rows", client))


@dataclass(frozen=True)
class Lies:
    """The step of an outbox that puts an attack's lies on what a hostile client sends."""

    attack: Attack
    seed: int  # the run's

    def __call__(self, message: Sent, client: int, start: Adapter | None) -> Sent:
        """Lie; the same message is lied about in the same way."""
        key = (message.round, message.group) if isinstance(message, Update) else ()
        generator = numpy_generator(self.seed, f"attack on {type(message).__name__}", client, *key)
        return self.attack.lie(message, start, generator)


def said_of_attackers(clients: int, config: RunConfig) -> list[str]:
    """Say who is hostile; nothing where nobody is."""
    hostile = sorted(attackers_of(clients, config))
    if not hostile:
        return []
    return [
        f"--attack {config.attack}: {len(hostile)} of {clients} clients are hostile: {', '.join(map(str, hostile))}"
    ]
