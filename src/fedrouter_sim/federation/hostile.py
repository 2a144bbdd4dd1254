"""The hostile clients of a federation: who they are, what they train on, and how they lie in what they send."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.clustering.kmeans import FARTHEST
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import NONE
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.attacks import find_attack
from fedrouter_sim.federation.attacks.attack import Attack, Sent
from fedrouter_sim.messages import CentroidMessage, LocalClusters, Update
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.tables import parse_options


def attackers_of(clients: int, config: RunConfig) -> frozenset[int]:
    """Draw who is hostile: the share of the clients, rounded. Who is so in one share is so in every larger one.

    Args:
        clients: how many there are.
        config: the settings.
    """
    if config.attack == NONE:
        return frozenset()
    order = numpy_generator(config.seed, "attackers").permutation(clients)
    return frozenset(order[: round(config.attackers * clients)].tolist())


def attack_of(config: RunConfig) -> Attack | None:
    """Return the attack of a run's settings; None where all are honest."""
    return None if config.attack == NONE else find_attack(config.attack, parse_options(config.option))


def poisoned(attack: Attack, client: int, examples: Sequence[Example], seed: int) -> Sequence[Example]:
    """Return what a hostile client trains on.

    Raises:
        UserError: the attack, which may be the user's own, fails, or does not give as many examples.
    """
    with _named(attack):
        found = attack.rows(examples, numpy_generator(seed, "attack on rows", client))
        if len(found) != len(examples) or not all(isinstance(row, Example) for row in found):
            raise ValueError(f"rows() of client {client} gave no {len(examples)} examples")
    return found


@contextmanager
def _named(attack: Attack) -> Iterator[None]:
    """Turn what an attack raises into a line that names it."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"attack {attack.name}: failed ({type(error).__name__}: {first_line(error)})") from error


@dataclass(frozen=True)
class Lies:
    """The step of an outbox that puts an attack's lies on what a hostile client sends."""

    attack: Attack
    seed: int  # the run's

    def __call__(self, message: Sent, client: int, start: Adapter | None) -> Sent:
        """Lie; the same message is lied about in the same way.

        Raises:
            UserError: the attack, which may be the user's own, fails, gives another kind of message, or numbers that
                are too large.
        """
        key = (message.round, message.group) if isinstance(message, Update) else ()
        generator = numpy_generator(self.seed, f"attack on {type(message).__name__}", client, *key)
        with _named(self.attack):
            told = self.attack.lie(message, start, generator)
            if _books(told) != _books(message):
                raise TypeError(f"a lie in place of {_books(message)} is {_books(told)}")
            self._check_near(told, client)
        return told

    def _check_near(self, told: Any, client: int) -> None:
        sent = told.sent if isinstance(told, LocalClusters) else told
        if not isinstance(sent, CentroidMessage):
            return
        for values in (sent.centroids, *([] if sent.halves is None else [sent.halves])):
            if not float(np.abs(values).max()) <= FARTHEST:  # a number of Python: half precision has none so large
                raise UserError(
                    f"--attack {self.attack.name}: client {client} sends local clusters beyond {FARTHEST:g}, with "
                    "which no server can count; give a smaller --option strength"
                )


def _books(message: Any) -> tuple[Any, ...]:
    """Return what a lie must leave as it is, or the simulation's books do not hold: the kind of message, of whom, and
    of how many local clusters."""
    if isinstance(message, LocalClusters):
        return type(message).__name__, *_books(message.sent)
    if isinstance(message, CentroidMessage):
        arrays = (message.centroids, message.sizes, message.answer_tokens, message.halves)
        return type(message).__name__, message.client, *(None if one is None else np.shape(one) for one in arrays)
    names = ("client", "group", "pool", "round", "clusters") if isinstance(message, Update) else ("client",)
    return type(message).__name__, *(getattr(message, name) for name in names if hasattr(message, name))


def said_of_attackers(clients: int, config: RunConfig) -> list[str]:
    """Say who is hostile, and that nobody is where --attack is given; nothing without it."""
    if config.attack == NONE:
        return []
    hostile = sorted(attackers_of(clients, config))
    if not hostile:
        return [f"--attack {config.attack}: --attackers {config.attackers:g} of {clients} clients is nobody; raise it"]
    return [
        f"--attack {config.attack}: {len(hostile)} of {clients} clients are hostile: {', '.join(map(str, hostile))}"
    ]
