"""What a method is: which groups and pools, and who answers a test sample."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

from fedrouter_sim.backbone import Backbone
from fedrouter_sim.client import Client
from fedrouter_sim.clustering import Floats, Ints
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples import Example
from fedrouter_sim.messages import Group
from fedrouter_sim.router import Router

CLUSTERING_SETTINGS = frozenset({"local_clusters", "tasks", "normalize"})
TRAINING_SETTINGS = frozenset(
    "rounds participation local_steps budget batch_size lr lr_min weight_decay clip eval_every"
    " lora_rank lora_alpha lora_dropout lora_targets".split()
)


@dataclass(frozen=True)
class Federation:
    """What a method plans for. A method may ask clients for their messages; only `oracle` looks at task labels."""

    config: RunConfig
    backbone: Backbone
    clients: tuple[Client, ...]


@dataclass(frozen=True)
class Pool:
    """The groups whose updates are averaged together; what it yields is an adapter."""

    name: str
    answer_tokens: int  # longest training response of the pool, EOS included: as long may an answer be
    label: str | None = None  # the true task, where the method pools by it


@dataclass(frozen=True)
class Plan:
    """A method's answer to: which groups and pools. Fixed before round 1."""

    groups: tuple[Group, ...] = ()  # in client order, by rank within a client
    pools: tuple[Pool, ...] = ()
    router: Router | None = None
    local_clusters: Mapping[int, Ints] = field(default_factory=dict)  # client -> local cluster of each example
    bytes_up: int = 0  # sent by all clients during setup
    bytes_down: int = 0  # sent to all clients during setup

    @cached_property
    def _by_client(self) -> Mapping[int, list[Group]]:
        found: dict[int, list[Group]] = {}
        for group in self.groups:
            found.setdefault(group.client, []).append(group)
        return found

    def groups_of(self, client: int) -> list[Group]:
        """Return the groups of one client, by rank."""
        return self._by_client.get(client, [])


@dataclass(frozen=True)
class Asked:
    """Test samples that one client has to answer."""

    client: int
    examples: Sequence[Example]
    embeddings: Floats  # (n, d), raw


class Method(ABC):
    """A federated method. A new one is a subclass in a file of its own, listed in `methods/__init__.py`."""

    name: ClassVar[str]
    ignores: ClassVar[frozenset[str]] = frozenset()
    """Settings that the method has no use for; giving one is noted, not refused."""
    routings: ClassVar[tuple[str, ...]] = ("fixed",)
    """How test samples may find their adapter; 'fixed' where the method leaves nothing to choose."""

    @abstractmethod
    def plan(self, federation: Federation) -> Plan:
        """Say which groups train and which pools average them."""

    @abstractmethod
    def answered_by(self, pools: Sequence[Pool], router: Router | None, asked: Asked, routing: str) -> list[str | None]:
        """Return the name of the pool that answers each sample; None is the bare backbone."""


def group_by(client: Client, keys: Sequence[str], clusters: Mapping[str, tuple[int, ...]] | None = None) -> list[Group]:
    """Group a client's examples by the pool each is keyed to; groups are ranked by first example."""
    members: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        members.setdefault(key, []).append(position)
    return [
        Group(client.id, rank, tuple(positions), pool, (clusters or {}).get(pool, ()))
        for rank, (pool, positions) in enumerate(members.items())
    ]


def pools_of(
    groups: Iterable[Group], clients: Sequence[Client], names: Sequence[str], labels: Mapping[str, str] | None = None
) -> tuple[Pool, ...]:
    """Describe the pools of the given names, with the longest training response of each."""
    by_id = {client.id: client for client in clients}
    longest = dict.fromkeys(names, 1)
    for group in groups:
        encoded = by_id[group.client].encoded
        longest[group.pool] = max(longest[group.pool], *(len(encoded[i].response) for i in group.examples))
    return tuple(Pool(name, longest[name], (labels or {}).get(name)) for name in names)
