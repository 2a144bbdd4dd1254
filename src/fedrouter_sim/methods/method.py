"""What a method is: which groups and pools, how a group trains, and who answers a test sample."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from numpy.typing import NDArray

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.clustering.kmeans import Floats, Ints
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.client import Client
from fedrouter_sim.messages import Group, Pull, Update
from fedrouter_sim.routing.router import Router

SPECIAL_SETTINGS = frozenset({"local_clusters", "tasks", "normalize", "fedprox_mu", "ditto_lambda", "warmup_rounds"})
"""Settings that only the methods which name them in `uses` have a use for."""
TRAINING_SETTINGS = frozenset(
    "rounds participation local_steps budget batch_size lr lr_min weight_decay clip eval_every"
    " lora_rank lora_alpha lora_dropout lora_targets".split()
)

Kept = Mapping[str, NDArray[Any]]
"""What a method keeps of training in order to answer, by name; saved beside the adapters."""


@dataclass(frozen=True)
class Federation:
    """What a method plans for. A method may ask clients for their messages; only `oracle` and `central` look at task
    labels."""

    config: RunConfig
    backbone: Backbone
    clients: tuple[Client, ...]


@dataclass(frozen=True)
class Pool:
    """The groups whose updates are averaged together; what it yields is an adapter."""

    name: str
    answer_tokens: int  # longest training response of the pool, EOS included: as long may an answer be
    label: str | None = None  # the true task, where the method pools by it
    private: bool = False  # belongs to one client and stays with it: nothing is sent
    parent: str | None = None  # pool of the plan before, whose adapter it starts from; None: the initial adapter


@dataclass(frozen=True)
class Plan:
    """A method's answer to: which groups and pools. It holds until the last round, or until a round of its own."""

    groups: tuple[Group, ...] = ()  # in client order, by rank within a client
    pools: tuple[Pool, ...] = ()
    router: Router | None = None
    local_clusters: Mapping[int, Ints] = field(default_factory=dict)  # client -> local cluster of each example
    kept: Kept = field(default_factory=dict)  # what else answering needs
    bytes_up: int = 0  # sent by all clients when the plan was made
    bytes_down: int = 0  # sent to all clients when the plan was made
    clients: tuple[Client, ...] | None = None  # who trains; None: the federation's clients
    until: int | None = None  # the last round of this plan; None: the last of the run
    then: "Callable[[Federation, LastRound], Plan] | None" = None  # makes the plan that follows

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
class LastRound:
    """What the next plan may be made from: the last round of a plan, in which all clients take part."""

    plan: Plan
    starts: Mapping[str, Adapter]  # the pools' adapters before the round
    updates: tuple[Update, ...]  # of all clients, in client and group order


@dataclass(frozen=True)
class Deployment:
    """What a finished run answers with, beside the adapters of its pools."""

    pools: tuple[Pool, ...]
    router: Router | None = None
    kept: Kept = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """Test samples that one client has to answer.

    A method goes by their instructions and embeddings. Their `task` and `response` are there for measuring; only a
    method that says that it is an upper bound, as `oracle` does, may read the task.
    """

    client: int
    examples: Sequence[Example]
    embed: Callable[[], Floats]

    @cached_property
    def embeddings(self) -> Floats:
        """The embeddings of the samples' instructions, (n, d), raw; computed only if the method asks for them."""
        return self.embed()


@dataclass(frozen=True)
class Choice:
    """Who answers a sample: weights over pools. One pool with weight 1 is a hard choice; no pool, the bare backbone."""

    weights: tuple[tuple[str, float], ...] = ()  # (pool, weight)
    margin: float | None = None  # of a router: distance to the second nearest centroid minus distance

    @classmethod
    def of(cls, pool: str | None, margin: float | None = None) -> "Choice":
        """Choose one pool; None is the bare backbone."""
        return cls(() if pool is None else ((pool, 1.0),), margin)

    @property
    def pool(self) -> str | None:
        """The pool of the largest weight, the first of equal ones; None is the bare backbone."""
        return max(self.weights, key=lambda pair: pair[1])[0] if self.weights else None


class Method(ABC):
    """A federated method. A new one is a subclass: in the user's own file (`--method FILE.py:Class`), or in a file here
    and listed in `methods/__init__.py`."""

    name: ClassVar[str]
    uses: ClassVar[frozenset[str]] = frozenset()
    """Those of `SPECIAL_SETTINGS` that matter; giving another one is noted, not refused."""
    trains: ClassVar[bool] = True
    """Whether there is any training; where not, the training settings are noted as without effect as well."""
    routings: ClassVar[tuple[str, ...]] = ("fixed",)
    """How test samples may find their adapter; 'fixed' where the method leaves nothing to choose."""

    @abstractmethod
    def plan(self, federation: Federation) -> Plan:
        """Say which groups train and which pools average them."""

    @abstractmethod
    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Say who answers each sample."""

    def follow(self, federation: Federation, plan: Plan) -> Plan:
        """Return the plan after the clients' data have changed (drift): here every group takes all of its client's new
        examples. A method whose groups split a client's data has to say how."""
        examples = {client.id: tuple(range(len(client.examples))) for client in federation.clients}
        groups = tuple(replace(group, examples=examples[group.client]) for group in plan.groups)
        return with_groups(plan, groups, federation.clients)


def group_by(client: Client, keys: Sequence[str], clusters: Mapping[str, tuple[int, ...]] | None = None) -> list[Group]:
    """Group a client's examples by the pool each is keyed to; groups are ranked by first example."""
    members: dict[str, list[int]] = {}
    for position, key in enumerate(keys):
        members.setdefault(key, []).append(position)
    return [
        Group(client.id, rank, tuple(positions), pool, (clusters or {}).get(pool, ()))
        for rank, (pool, positions) in enumerate(members.items())
    ]


def whole_group(client: Client, pool: str, rank: int = 0, pull: Pull | None = None, steps: int | None = None) -> Group:
    """Put all of a client's examples into one group."""
    return Group(client.id, rank, tuple(range(len(client.examples))), pool, pull=pull, steps=steps)


def client_pool(client: int) -> str:
    """Return the name of a client's own pool."""
    return f"client_{client:03d}"


def pools_of(groups: Iterable[Group], clients: Sequence[Client], names: Sequence[str]) -> tuple[Pool, ...]:
    """Describe the pools of the given names, with the longest training response of each."""
    by_id = {client.id: client for client in clients}
    longest = dict.fromkeys(names, 1)
    for group in groups:
        encoded = by_id[group.client].encoded
        longest[group.pool] = max(longest[group.pool], *(len(encoded[i].response) for i in group.examples))
    return tuple(Pool(name, longest[name]) for name in names)


def with_groups(plan: Plan, groups: tuple[Group, ...], clients: Sequence[Client]) -> Plan:
    """Return a plan with other groups in the same pools, whose answers may be as long as those of either."""
    now = pools_of(groups, clients, [pool.name for pool in plan.pools])
    pools = tuple(
        replace(old, answer_tokens=max(old.answer_tokens, new.answer_tokens))
        for old, new in zip(plan.pools, now, strict=True)
    )
    return replace(plan, groups=groups, pools=pools, bytes_up=0, bytes_down=0)
