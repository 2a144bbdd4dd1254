"""Groups: the examples of one client that train one adapter together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedrouter_sim.messages import ClientFacts, Grouping
from fedrouter_sim.typed import Count, Name, Natural


@dataclass(frozen=True)
class Pull:
    """A proximal term: strength / 2 times the squared distance of (A, B) to a pool's adapter of the round's start."""

    pool: Name
    strength: float


@dataclass(frozen=True)
class Group:
    """The examples of one client that train one adapter together."""

    client: Count
    rank: Count  # among its client's groups, by first example
    examples: tuple[Count, ...]  # positions in the client's list, ascending
    pool: Name
    clusters: tuple[Count, ...] = ()  # local clusters it is made of, where the method clusters
    pull: Pull | None = None
    steps: Natural | None = None  # optimizer steps per round, where the method fixes them; else a share of the client's
    answer_tokens: Natural = 1  # longest training response of the group in tokens


def group_by(
    grouping: Grouping, pools: Sequence[str], clusters: Mapping[str, tuple[int, ...]] | None = None
) -> list[Group]:
    """Make a group per pool of a client's grouping; groups are ranked by first example.

    Args:
        grouping: how the client has grouped its examples.
        pools: the pool of each part, (k,); parts of one pool become one group.
        clusters: pool -> the local clusters to be noted with its group.
    """
    names = list(dict.fromkeys(pools))  # parts are numbered by first example, and so are the groups
    groups: list[Group] = []
    for pool in names:
        parts = [part for part, name in enumerate(pools) if name == pool]
        positions = np.flatnonzero(np.isin(grouping.labels, parts))
        if not len(positions):
            continue  # of clusters that a client has only sent so that it is not seen how many it has
        longest = max(int(grouping.answer_tokens[part]) for part in parts)
        own = (clusters or {}).get(pool, ())
        groups.append(
            Group(grouping.client, len(groups), tuple(positions.tolist()), pool, clusters=own, answer_tokens=longest)
        )
    return groups


def whole_group(client: ClientFacts, pool: str, rank: int = 0, steps: int | None = None) -> Group:
    """Put all of a client's examples into one group."""
    examples = tuple(range(client.examples))
    return Group(client.id, rank, examples, pool, steps=steps, answer_tokens=client.answer_tokens)
