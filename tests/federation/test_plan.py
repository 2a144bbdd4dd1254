"""Plans, pools and choices; who asks; and other groups in the same pools."""

import dataclasses

import numpy as np
import pytest

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Plan, Pool, client_pool, pools_of, with_groups
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import Router


def group(client: int, pool: str, answer_tokens: int, rank: int = 0) -> Group:
    return Group(client, rank, (0, 1), pool, answer_tokens=answer_tokens)


def test_a_plan_gives_a_client_its_groups_by_rank() -> None:
    groups = (group(0, "a", 3), group(0, "b", 4, rank=1), group(2, "a", 5))
    plan = Plan(groups)
    assert [plan.groups_of(client) for client in range(4)] == [list(groups[:2]), [], [groups[2]], []]


def test_a_plan_deploys_its_pools_its_router_and_what_it_keeps() -> None:
    router, archive = Router(np.eye(2, dtype=np.float32), Normalizer("none"), 8, ""), Archive((), ())
    pools, kept = (Pool("a", 3),), {"x": np.ones(2)}
    plan = Plan((group(0, "a", 3),), pools, router, archive, state=kept, until=3, more_follows=True)
    assert plan.deployment == Deployment(pools, router, archive, kept)
    assert Plan().deployment == Deployment(())


def test_pools_know_their_longest_response() -> None:
    groups = [group(0, "one", 7), group(1, "two", 2), group(1, "one", 9, rank=1), group(2, "one", 8)]
    assert pools_of(groups, ["two", "one", "empty"]) == (Pool("two", 2), Pool("one", 9), Pool("empty", 1))


def test_other_groups_in_the_same_pools_never_shorten_an_answer() -> None:
    two = (Pool("a", 9, "sum"), Pool("b", 4, None, private=True, parent="a"))
    plan = Plan((group(0, "a", 9), group(1, "b", 4)), two, state={"x": np.ones(1)}, until=4, more_follows=True)
    swapped = (group(1, "a", 4), group(0, "b", 9))
    after = with_groups(plan, swapped)
    assert after.groups == swapped
    assert after.pools == (two[0], dataclasses.replace(two[1], answer_tokens=9))
    assert (after.state, after.until, after.more_follows) == (plan.state, 4, True)
    assert with_groups(plan, swapped[:1]).pools == two  # a pool that nobody trains any more keeps its length


def test_who_asks_is_known_or_the_method_does_without() -> None:
    assert Asked(3, (), lambda: pytest.fail("nobody needs embeddings")).client == 3
    assert Asked(0, (), lambda: pytest.fail("nobody needs embeddings")).client == 0
    nobody = Asked(None, (), lambda: np.ones((1, 2), dtype=np.float32))
    assert nobody.embeddings.shape == (1, 2)
    with pytest.raises(UserError, match="--client: who answers depends on the client that asks; name it") as caught:
        _ = nobody.client
    assert "\n" not in str(caught.value)


def test_embeddings_of_what_is_asked_are_computed_once_and_only_if_wanted() -> None:
    calls: list[int] = []

    def embed() -> np.ndarray:
        calls.append(1)
        return np.ones((1, 2), dtype=np.float32)

    asked = Asked(0, (), embed)
    assert not calls
    assert asked.embeddings is asked.embeddings
    assert len(calls) == 1


def test_the_pool_of_a_choice_is_that_of_the_largest_weight() -> None:
    assert Choice().pool is None
    assert (Choice.of(None), Choice.of("a")) == (Choice(), Choice((("a", 1.0),)))
    assert Choice((("a", 0.4), ("b", 0.6))).pool == "b"
    assert Choice((("a", 0.5), ("b", 0.5))).pool == "a"  # the first of equals


def test_a_clients_pool_is_named_after_it() -> None:
    assert [client_pool(number) for number in (0, 12, 1000)] == ["client_000", "client_012", "client_1000"]
