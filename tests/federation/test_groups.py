"""Groups: the examples of one client that train one adapter together."""

import dataclasses

import numpy as np
import pytest

from fedrouter_sim.federation.groups import Group, group_by, whole_group
from fedrouter_sim.messages import ClientFacts, Grouping


def grouping(labels: list[int], answer_tokens: list[int], client: int = 2) -> Grouping:
    names = tuple(f"part {part}" for part in range(len(answer_tokens)))
    return Grouping(client, np.array(labels), names, np.array(answer_tokens))


def test_groups_are_ranked_by_first_example() -> None:
    found = group_by(grouping([0, 1, 0, 2, 1, 1], [4, 9, 2]), ["b", "a", "c"], {"a": (1,), "b": (0, 2)})
    assert found == [
        Group(2, 0, (0, 2), "b", (0, 2), answer_tokens=4),
        Group(2, 1, (1, 4, 5), "a", (1,), answer_tokens=9),
        Group(2, 2, (3,), "c", (), answer_tokens=2),
    ]


def test_parts_of_one_pool_are_one_group_as_long_as_the_longest() -> None:
    found = group_by(grouping([0, 1, 2, 1, 0], [4, 2, 9]), ["x", "y", "x"])
    assert found == [Group(2, 0, (0, 2, 4), "x", answer_tokens=9), Group(2, 1, (1, 3), "y", answer_tokens=2)]
    assert all(isinstance(i, int) for group in found for i in group.examples)  # they are written as JSON


def test_a_whole_group_holds_all_of_a_clients_examples() -> None:
    group = whole_group(ClientFacts(3, 5, 11), "mine", rank=1, steps=3)
    assert group.examples == (0, 1, 2, 3, 4)
    assert (group.client, group.rank, group.pool, group.answer_tokens) == (3, 1, "mine", 11)
    assert (group.steps, group.pull, group.clusters) == (3, None, ())
    assert whole_group(ClientFacts(0, 2, 1), "mine") == Group(0, 0, (0, 1), "mine", answer_tokens=1)


def test_a_group_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Group(0, 0, (1, 2), "all").client = 1  # type: ignore[misc]
