"""Plans: which groups train, which pools average them, and who answers a test sample. A plan is data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.adapters.together import Together
from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.messages import Update
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import Router
from fedrouter_sim.typed import Name, Natural

Weights = tuple[tuple[str, float], ...]
"""Pools and their weights in an answer. What they lack to 1 is the bare backbone's."""

MethodState = Mapping[str, NDArray[Any]]
"""What a method needs of training in order to answer, by name; saved beside the adapters."""


@dataclass(frozen=True)
class Pool:
    """The groups whose updates are averaged together; what it yields is an adapter."""

    name: Name
    answer_tokens: Natural  # longest training response of the pool, EOS included: an answer may be that long
    label: str | None = None  # the true task, where the method pools by it
    private: bool = False  # belongs to one client and stays with it: nothing is sent
    parent: Name | None = None  # pool of the plan before, whose adapter it starts from; None: the initial adapter


@dataclass(frozen=True)
class Plan:
    """A method's answer to: which groups and pools. It holds until the last round, or until a round of its own."""

    groups: tuple[Group, ...] = ()  # in client order, by rank within a client
    pools: tuple[Pool, ...] = ()
    router: Router | None = None
    archive: Archive | None = None  # the clients' local centroids, where the router was made of them
    local_clusters: Mapping[int, Ints] = field(default_factory=dict)  # client -> local cluster of each example
    state: MethodState = field(default_factory=dict)  # what else answering needs
    linked: Linked | None = None  # how local clusters were linked to tasks, where they were, to be shown
    gathered: bool = False  # all examples are in one place, as those of client 0
    until: int | None = None  # the last round of this plan; None: the last of the run
    more_follows: bool = False  # after `until` the method plans anew; all clients take part in that round, in time
    by_updates: bool = True  # where more follows: it goes by the updates of that round, and so they are all held

    @cached_property
    def _by_client(self) -> Mapping[int, list[Group]]:
        found: dict[int, list[Group]] = {}
        for group in self.groups:
            found.setdefault(group.client, []).append(group)
        return found

    def groups_of(self, client: int) -> list[Group]:
        """Return the groups of one client, by rank."""
        return self._by_client.get(client, [])

    @property
    def members(self) -> list[set[str]]:
        """The pools that each client with groups trains."""
        return [{group.pool for group in groups} for groups in self._by_client.values()]

    @cached_property
    def shares(self) -> bool:
        """Whether clients send anything: not where all examples are in one place, or all that is trained is a client's
        own."""
        shared = {pool.name for pool in self.pools if not pool.private}
        return not self.gathered and any(group.pool in shared for group in self.groups)

    @property
    def deployment(self) -> "Deployment":
        """What answers under this plan, beside the adapters."""
        return Deployment(self.pools, self.router, self.archive, self.state)


@dataclass(frozen=True)
class LastRound:
    """What the next plan may be made from: the last round of a plan, in which all clients take part."""

    plan: Plan
    starts: Mapping[str, Adapter]  # the pools' adapters before the round
    updates: tuple[Update, ...]  # of all clients but those whose training failed, in client and group order; none are
    # held where the plan does not go `by_updates`
    adapters: Mapping[str, Adapter] = field(default_factory=dict)  # the pools' adapters after the round


@dataclass(frozen=True)
class Deployment:
    """What a finished run answers with, beside the adapters of its pools."""

    pools: tuple[Pool, ...]
    router: Router | None = None
    archive: Archive | None = None
    state: MethodState = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """Test samples that have to be answered, and who asks: texts and their embeddings, and nothing to measure by.

    Neither a label nor a reference can be had from it. A method that says that it answers by label is asked by
    `Labelled`.
    """

    asker: int | None  # the client that asks; None: nobody in particular
    instructions: tuple[str, ...]  # n texts; of a conversation, the text of what precedes the response
    embed: Callable[[], Floats]  # computes `embeddings`

    @property
    def client(self) -> int:
        """The client that asks.

        Raises:
            UserError: the method needs to know it and nobody in particular asks.
        """
        if self.asker is None:
            raise UserError("--client: who answers depends on the client that asks; name it, as --client 0")
        return self.asker

    @cached_property
    def embeddings(self) -> Floats:
        """The embeddings of the samples' instructions, (n, d), raw; computed only if the method asks for them."""
        return self.embed()


@dataclass(frozen=True)
class Labelled(Asked):
    """Test samples with their true tasks: how a method is asked that says that it answers by label, an upper bound."""

    tasks: tuple[str | None, ...]  # of each of the n texts; None: it has no label


@dataclass(frozen=True)
class Choice:
    """Who answers a sample: weights over pools. One pool with weight 1 is a hard choice; no pool, the bare backbone.

    `together` says how several pools answer; None: by the weighted sum of their outputs. By token, the pools are
    candidates; the weights that a method gives are of no account, and those that the answerer puts there are means over
    the sample's prompt.
    """

    weights: Weights = ()
    margin: float | None = None  # of a router: distance to the nearest other task minus distance (see `Routes`)
    distance: float | None = None  # of a router: L2 to the task's landmark, in the normalised space
    unseen: float | None = None  # of a router: how unseen the text is, in [0, 1)
    confidence: float | None = None  # of a router: the probability that it gives `pool`
    together: Together | None = None

    @classmethod
    def of(cls, pool: str | None) -> "Choice":
        """Choose one pool; None is the bare backbone."""
        return cls(() if pool is None else ((pool, 1.0),))

    @property
    def mixed(self) -> dict[str, float]:
        """The weight of each pool in a mixed answer; empty where one adapter answers alone, or the bare backbone."""
        return dict(self.weights) if [weight for _, weight in self.weights] not in ([], [1.0]) else {}

    @property
    def pool(self) -> str | None:
        """The pool of the largest weight, the first of equal ones; None is the bare backbone."""
        return max(self.weights, key=lambda pair: pair[1])[0] if self.weights else None


def client_pool(client: int) -> str:
    """Return the name of a client's own pool."""
    return f"client_{client:03d}"


def pools_of(groups: Iterable[Group], names: Sequence[str]) -> tuple[Pool, ...]:
    """Describe the pools of the given names, with the longest training response of each."""
    longest = dict.fromkeys(names, 1)
    for group in groups:
        longest[group.pool] = max(longest[group.pool], group.answer_tokens)
    return tuple(Pool(name, longest[name]) for name in names)


def with_groups(plan: Plan, groups: tuple[Group, ...]) -> Plan:
    """Return a plan with other groups in the same pools, whose answers may be as long as those of either."""
    now = pools_of(groups, [pool.name for pool in plan.pools])
    pools = tuple(
        replace(old, answer_tokens=max(old.answer_tokens, new.answer_tokens))
        for old, new in zip(plan.pools, now, strict=True)
    )
    return replace(plan, groups=groups, pools=pools)
