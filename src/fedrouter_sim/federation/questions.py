"""What the server may ask of clients before and between rounds. Each question is answered with a message."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from time import perf_counter
from typing import Generic, TypeVar

import numpy as np

from fedrouter_sim.arrays import Ints
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.messages import (
    ClientEmbeddings,
    ClientFacts,
    Grouping,
    GroupTokens,
    Message,
    StepTime,
)
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.routing import task_name
from fedrouter_sim.routing.router import Router

Answer = TypeVar("Answer", bound=Message, covariant=True)


class Question(ABC, Generic[Answer]):
    """Something that the server asks of a client."""

    @property
    def nbytes(self) -> int:
        """Size in bytes of what is sent along to each client."""
        return 0

    @abstractmethod
    def answer(self, client: Client) -> Answer:
        """Return the client's answer; the only thing that leaves the client."""


@dataclass(frozen=True)
class AskFacts(Question[ClientFacts]):
    """How many examples a client has, and how long."""

    def answer(self, client: Client) -> ClientFacts:
        """Count."""
        encoded = client.encoded
        longest = max(len(example.response) for example in encoded)
        return ClientFacts(client.id, len(encoded), longest, sum(example.prompt.cut for example in encoded))


@dataclass(frozen=True)
class AskTasks(Question[Grouping]):
    """The tasks that a router sends a client's examples to, but for those whose task is known."""

    router: Router
    known: Mapping[int, Ints] = field(default_factory=dict, repr=False)
    """Client -> task of each of its examples, as it knows itself; -1 of those that are routed."""

    def answer(self, client: Client) -> Grouping:
        """Route the client's own examples."""
        tasks = self.router.route(client.embeddings).task
        if (known := self.known.get(client.id)) is not None:
            tasks = np.where(known < 0, tasks, known)
        return named(client, [task_name(int(task)) for task in tasks])


@dataclass(frozen=True)
class AskLabels(Question[Grouping]):
    """The true tasks of a client's examples. Only methods that are upper bounds may ask it."""

    def answer(self, client: Client) -> Grouping:
        """Group by label; examples without one have the label ''."""
        return named(client, [example.task or "" for example in client.examples])


@dataclass(frozen=True)
class AskReferences(Question[ClientEmbeddings]):
    """The embeddings of some examples, drawn by seed."""

    count: int
    seed: int  # the run's
    purpose: str  # of the draw

    def answer(self, client: Client) -> ClientEmbeddings:
        """Draw without replacement; in the order of the client's examples."""
        order = numpy_generator(self.seed, self.purpose, client.id).permutation(len(client.examples))
        return _embeddings(client, np.sort(order[: self.count]).tolist())


@dataclass(frozen=True)
class AskSpacedEmbeddings(Question[ClientEmbeddings]):
    """The embeddings of examples at evenly spaced positions, at most so many."""

    most: int

    def answer(self, client: Client) -> ClientEmbeddings:
        """Take the middles of equal stretches."""
        return _embeddings(client, spaced(len(client.examples), self.most))


@dataclass(frozen=True)
class AskGroupTokens(Question[GroupTokens]):
    """How long the examples of a client's groups are."""

    groups: Mapping[int, Sequence[Group]] = field(repr=False)  # client -> its groups; of clients that have any

    def answer(self, client: Client) -> GroupTokens:
        """Average over each of the client's own groups."""
        own = self.groups.get(client.id, ())
        return GroupTokens(client.id, tuple(fmean(len(client.encoded[i]) for i in group.examples) for group in own))


@dataclass(frozen=True)
class AskStepTime(Question[StepTime]):
    """What one optimizer step of a group takes, on its batch of middle length. Its adapter is thrown away."""

    group: Group
    quick: float = 1.0  # seconds: a first step that took less was mostly warming up, and is taken again

    def answer(self, client: Client) -> StepTime:
        """Take the step, or two, and time the last."""
        seconds, tokens = 0.0, 1
        for _ in range(2):
            started = perf_counter()
            tokens = client.trial_step(self.group)
            seconds = perf_counter() - started
            if seconds > self.quick:
                break
        return StepTime(client.id, seconds, tokens)


def spaced(count: int, most: int) -> list[int]:
    """Return at most `most` of `count` positions, in the middles of equal stretches."""
    wanted = min(count, most)
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]


def _embeddings(client: Client, positions: Sequence[int]) -> ClientEmbeddings:
    return ClientEmbeddings(client.id, tuple(positions), np.asarray(client.embeddings[list(positions)]))


def named(client: Client, names: Sequence[str]) -> Grouping:
    """Group a client's examples by a name each."""
    parts = {name: part for part, name in enumerate(dict.fromkeys(names))}
    return grouped(client, np.array([parts[name] for name in names], dtype=np.int64), tuple(parts))


def grouped(client: Client, labels: Ints, names: tuple[str, ...]) -> Grouping:
    """Group a client's examples by the number of their part, (n,); parts are numbered by first example."""
    lengths = np.array([len(example.response) for example in client.encoded])
    longest = [lengths[labels == part].max() for part in range(len(names))]
    return Grouping(client.id, labels, names, np.array(longest, dtype=np.int64))
