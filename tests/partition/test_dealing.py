"""Dealing out: who gets which examples."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.dealing import (
    ClientShares,
    deal_iid,
    deal_out,
    largest_remainder,
    natural_clients,
    natural_notes,
)

SPLITS = ["single", "dual", "all", "dirichlet"]
GRID = [(1, 1), (1, 3), (2, 2), (3, 4), (4, 3), (5, 2), (7, 7), (8, 4), (10, 4), (10, 7)]


def rows(share: str, tasks: int, each: int) -> list[Example]:
    """`each` examples of each task, the tasks in turn."""
    return [Example(f"{share} {t} {i}", "response", f"t{t}") for i in range(each) for t in range(tasks)]


def deal(clients: int, tasks: int, split: str, **changes: Any) -> tuple[ClientShares, ...]:
    train, test = changes.pop("train", rows("train", tasks, 60)), changes.pop("test", rows("test", tasks, 30))
    uncapped = {"alpha": 0.5, "examples_per_client": 10**6, "test_examples_per_client": 10**6, "seed": 1}
    return deal_out(train, test, clients=clients, split=split, **{**uncapped, **changes})


def mixture(examples: Sequence[Example]) -> Counter[str]:
    return Counter(example.task or "" for example in examples)


def owners(clients: int, tasks: int) -> list[int]:
    """Each client's first task: as even as it goes, the remainder to the first tasks."""
    share, rest = divmod(clients, tasks)
    return [task for task in range(tasks) for _ in range(share + (task < rest))]


@pytest.mark.parametrize(("clients", "tasks"), GRID)
@pytest.mark.parametrize("split", SPLITS)
def test_no_example_goes_to_two_clients_and_none_is_empty_handed(clients: int, tasks: int, split: str) -> None:
    dealt = deal(clients, tasks, split)
    assert len(dealt) == clients and all(client.train for client in dealt)
    for share in ("train", "test_own", "test_all"):
        handed = [example for client in dealt for example in getattr(client, share)]
        assert len(handed) == len(set(handed))
        assert set(handed) <= set(rows(share[:4] if share != "train" else "train", tasks, 60))


@pytest.mark.parametrize(("clients", "tasks"), [(n, t) for n, t in GRID if n >= t])
@pytest.mark.parametrize("split", ["single", "dual", "all"])
def test_without_caps_every_example_is_dealt_out(clients: int, tasks: int, split: str) -> None:
    dealt = deal(clients, tasks, split)
    assert sum(len(client.train) for client in dealt) == 60 * tasks
    assert sum(len(client.test_all) for client in dealt) == 30 * tasks


@pytest.mark.parametrize(("clients", "tasks"), GRID)
def test_single_gives_each_client_one_task_as_even_as_it_goes(clients: int, tasks: int) -> None:
    dealt = deal(clients, tasks, "single")
    assert [set(mixture(client.train)) for client in dealt] == [{f"t{task}"} for task in owners(clients, tasks)]
    check_even(dealt, tasks)


@pytest.mark.parametrize(("clients", "tasks"), [(n, t) for n, t in GRID if t > 1])
def test_dual_gives_each_client_its_task_and_the_next_half_of_each(clients: int, tasks: int) -> None:
    dealt = deal(clients, tasks, "dual")
    first = owners(clients, tasks)
    holders = Counter(first)
    for client, task in zip(dealt, first, strict=True):
        following = (task + 1) % tasks
        assert set(mixture(client.train)) == {f"t{task}", f"t{following}"}
        assert abs(mixture(client.train)[f"t{task}"] - 30 / holders[task]) < 1
        assert abs(mixture(client.train)[f"t{following}"] - 30 / holders[task]) < 1


def test_dual_with_one_task_shares_it_out() -> None:
    assert [len(client.train) for client in deal(4, 1, "dual")] == [15] * 4


@pytest.mark.parametrize(("clients", "tasks"), [(4, 4), (8, 4), (10, 4), (7, 3)])
@pytest.mark.parametrize("share", ["train", "test_own"])
def test_dual_gives_a_tasks_halves_to_its_own_clients_and_to_those_before(clients: int, tasks: int, share: str) -> None:
    dealt = deal(clients, tasks, "dual")
    first = owners(clients, tasks)
    for task in range(tasks):
        own, before = (
            [
                example
                for client, start in zip(dealt, first, strict=True)
                for example in getattr(client, share)
                if start == wanted and example.task == f"t{task}"
            ]
            for wanted in (task, (task - 1) % tasks)
        )
        assert own and before and not set(own) & set(before)
        if share == "train":
            assert len(own) == len(before) == 30


def test_the_first_half_of_a_task_is_its_own_clients_and_the_same_rows_under_single_and_dual() -> None:
    halves = [set(client.train) for client in deal(8, 4, "single")]
    for task, client in enumerate(deal(4, 4, "dual")):
        assert set(client.train) == halves[2 * task] | halves[(2 * task + 3) % 8]


@pytest.mark.parametrize(("clients", "tasks"), GRID)
def test_all_gives_each_client_every_task_as_even_as_it_goes(clients: int, tasks: int) -> None:
    dealt = deal(clients, tasks, "all")
    assert all(len(mixture(client.train)) == tasks for client in dealt)
    check_even(dealt, tasks)


def check_even(dealt: Sequence[ClientShares], tasks: int) -> None:
    for task in range(tasks):
        held = [count for client in dealt if (count := mixture(client.train)[f"t{task}"])]
        assert not held or max(held) - min(held) <= 1


@pytest.mark.parametrize("alpha", [0.1, 0.5, 5.0])
def test_dirichlet_clients_are_equally_large_and_more_skewed_with_a_smaller_alpha(alpha: float) -> None:
    dealt = deal(6, 4, "dirichlet", alpha=alpha, train=rows("train", 4, 900))
    sizes = [len(client.train) for client in dealt]
    assert max(sizes) - min(sizes) <= 4  # one row of rounding a task
    largest = np.mean([max(mixture(client.train).values()) / len(client.train) for client in dealt])
    assert {0.1: largest > 0.75, 0.5: 0.4 < largest < 0.9, 5.0: largest < 0.5}[alpha]


def test_dirichlet_uses_up_the_scarcest_task() -> None:
    dealt = deal(6, 4, "dirichlet", train=rows("train", 4, 500))
    handed = Counter(chain.from_iterable(mixture(client.train).elements() for client in dealt))
    assert max(handed.values()) >= 494


@pytest.mark.parametrize("split", SPLITS)
def test_the_seed_decides_everything(split: str) -> None:
    assert deal(5, 3, split) == deal(5, 3, split)
    assert deal(5, 3, split) != deal(5, 3, split, seed=2)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("cap", [1, 7, 20])
def test_caps_hold_and_keep_the_mixture(split: str, cap: int) -> None:
    free = deal(4, 4, split, train=rows("train", 4, 200))
    capped = deal(4, 4, split, train=rows("train", 4, 200), examples_per_client=cap)
    for whole, part in zip(free, capped, strict=True):
        assert len(part.train) == min(cap, len(whole.train))
        for task, count in mixture(whole.train).items():
            assert abs(mixture(part.train)[task] - len(part.train) * count / len(whole.train)) < 1


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("cap", [5, 12, 10**6])
def test_a_clients_own_test_share_has_its_training_mixture(split: str, cap: int) -> None:
    for client in deal(6, 3, split, test_examples_per_client=cap):
        assert 0 < len(client.test_own) <= cap
        for task in mixture(client.train) | mixture(client.test_own):
            wanted = len(client.test_own) * mixture(client.train)[task] / len(client.train)
            assert abs(mixture(client.test_own)[task] - wanted) < 1 + 1e-9


def test_the_shard_of_all_tasks_is_the_same_whatever_the_split() -> None:
    shards = [[client.test_all for client in deal(4, 3, split, test_examples_per_client=10)] for split in SPLITS]
    assert all(shard == shards[0] for shard in shards)
    assert all(len(shard) == 10 for shard in shards[0])


def test_examples_stay_in_the_order_of_the_data() -> None:
    train = rows("train", 4, 60)
    for client in deal(4, 4, "dual", train=train):
        positions = [train.index(example) for example in client.train]
        assert positions == sorted(positions)


@pytest.mark.parametrize("split", ["single", "dual", "dirichlet"])
def test_unlabelled_data_is_refused_with_the_split_that_works(split: str) -> None:
    unlabelled = [Example(f"i{i}", "r") for i in range(20)]
    with pytest.raises(UserError, match=f"--split {split}.*--split all"):
        deal(2, 1, split, train=unlabelled, test=unlabelled)


def test_unlabelled_data_is_dealt_out_iid_by_all() -> None:
    unlabelled = [Example(f"i{i}", "r") for i in range(20)]
    dealt = deal(3, 1, "all", train=unlabelled, test=unlabelled)
    assert [len(client.train) for client in dealt] == [7, 7, 6]
    assert all(client.test_own for client in dealt)


def test_too_many_clients_are_refused_by_flag_number_and_remedy() -> None:
    with pytest.raises(UserError, match=r"--clients 9: client \d+ .* of 4 .*; lower --clients or give more data"):
        deal(9, 2, "all", train=rows("train", 2, 2))


def test_a_task_that_the_test_data_lacks_is_left_out_of_the_own_test_share() -> None:
    test = [example for example in rows("test", 3, 30) if example.task != "t1"]
    dealt = deal(3, 3, "dual", test=test)
    assert [set(mixture(client.test_own)) for client in dealt] == [{"t0"}, {"t2"}, {"t2", "t0"}]


@pytest.mark.parametrize(("n", "clients", "most"), [(10, 3, 100), (10, 3, 2), (2, 5, 1), (0, 2, 5)])
def test_iid_shards_are_disjoint_even_and_capped(n: int, clients: int, most: int) -> None:
    shards = deal_iid(rows("x", 1, n), clients, most, seed=0)
    handed = list(chain.from_iterable(shards))
    sizes = [len(shard) for shard in shards]
    assert len(shards) == clients and len(handed) == len(set(handed)) == min(n, sum(sizes))
    assert max(sizes) - min(sizes) <= 1 and max(sizes) <= most
    assert len(handed) == n or max(sizes) == most


@pytest.mark.parametrize("total", [0, 1, 2, 3, 7, 10, 999, 10_000])
@pytest.mark.parametrize("weights", [[1], [1, 1, 1], [0.5, 0.25, 0.25], [0, 3, 0], [1e-12, 1, 7], [2, 3, 5, 7, 11]])
def test_largest_remainder_sums_to_the_total_and_is_proportional(weights: list[float], total: int) -> None:
    counts = largest_remainder(np.array(weights, dtype=np.float64), total)
    assert counts.sum() == total and (counts >= 0).all()
    exact = np.array(weights) / sum(weights) * total
    assert (np.abs(counts - exact) < 1).all()


def test_largest_remainder_gives_ties_to_the_first_and_nothing_to_weight_zero() -> None:
    assert largest_remainder(np.ones(4), 6).tolist() == [2, 2, 1, 1]
    assert largest_remainder(np.array([0.0, 1, 1]), 3).tolist() == [0, 2, 1]
    assert largest_remainder(np.full(10, 0.1), 100).tolist() == [10] * 10


def test_labels_in_one_share_only_are_no_labels() -> None:
    unlabelled = [Example(example.instruction, "response") for example in rows("train", 3, 60)]
    dealt = deal(4, 3, "all", train=unlabelled)
    assert all(client.test_own for client in dealt)
    with pytest.raises(UserError, match="--split dual"):
        deal(4, 3, "dual", train=unlabelled)


def owned(share: str, sizes: dict[str, int]) -> list[Example]:
    """So many examples of each client, shuffled, of two tasks."""
    every = [Example(f"{share} {c} {i}", "r", f"t{i % 2}", c) for c, size in sizes.items() for i in range(size)]
    return [every[i] for i in np.random.default_rng(0).permutation(len(every))]


SIZES = {"b": 9, "a": 4, "c": 1, "B": 6, "ä": 2}


@pytest.mark.parametrize("clients", [1, 3, 5])
def test_natural_gives_every_client_its_own_rows_and_no_other(clients: int) -> None:
    train, test = owned("train", SIZES), owned("test", {"a": 5, "ä": 1, "B": 2, "z": 3})
    dealt = deal(clients, 2, "natural", train=train, test=test)
    ids = ["B", "a", "b", "c", "ä"][:clients]  # as text, the same for training and test
    assert natural_clients(train, clients) == ids
    assert [client.train for client in dealt] == [tuple(e for e in train if e.client == name) for name in ids]
    assert [client.test_own for client in dealt] == [tuple(e for e in test if e.client == name) for name in ids]
    assert [client.test_all for client in dealt] == deal_iid(test, clients, 10**6, 1)


@pytest.mark.parametrize("seed", range(5))
def test_natural_clients_do_not_change_with_the_order_of_rows_or_the_seed(seed: int) -> None:
    train, test = owned("train", SIZES), owned("test", SIZES)
    order = np.random.default_rng(seed).permutation(len(train))
    shuffled = deal(5, 2, "natural", train=[train[i] for i in order], test=test[::-1], seed=seed)
    for one, two in zip(deal(5, 2, "natural", train=train, test=test), shuffled, strict=True):
        assert set(one.train) == set(two.train) and set(one.test_own) == set(two.test_own)
        assert len({example.client for example in (*one.train, *one.test_own)}) == 1


@pytest.mark.parametrize(
    ("ids", "ordered"),
    [
        ("10 9 -1 100", ["-1", "9", "10", "100"]),
        ("07 7 8 6", ["6", "07", "7", "8"]),
        ("10 9 x", ["10", "9", "x"]),
        ("1.5 10 9", ["1.5", "10", "9"]),
        ("٣ 10 9", ["10", "9", "٣"]),
        (f"{10**400} 10 9", ["10", str(10**400), "9"]),
    ],
)
def test_natural_clients_are_ordered_as_numbers_where_all_are_else_as_text(ids: str, ordered: list[str]) -> None:
    assert natural_clients(owned("train", dict.fromkeys(ids.split(), 2))) == ordered


def test_natural_caps_hold_and_the_rows_kept_are_drawn_by_seed() -> None:
    train, test = owned("train", {"a": 50, "b": 3}), owned("test", {"a": 30, "b": 30})
    capped = deal(2, 2, "natural", train=train, test=test, examples_per_client=10, test_examples_per_client=7)
    assert [len(client.train) for client in capped] == [10, 3]
    assert [len(client.test_own) for client in capped] == [7, 7]
    other = deal(2, 2, "natural", train=train, test=test, examples_per_client=10, test_examples_per_client=7, seed=2)
    assert set(other[0].train) != set(capped[0].train) != set(train[:10])
    for client in (*capped, *other):
        positions = [train.index(example) for example in client.train]
        assert positions == sorted(positions)


def test_natural_with_fewer_ids_than_clients_is_refused_with_their_number() -> None:
    with pytest.raises(UserError, match="--clients 6: the training data has rows of 5 clients; lower --clients"):
        deal(6, 2, "natural", train=owned("train", SIZES), test=owned("test", SIZES))


def test_natural_needs_to_know_of_every_training_row_whose_it_is() -> None:
    with pytest.raises(UserError, match=r"--split natural: .*--client-column"):
        deal(2, 2, "natural")
    some = [*owned("train", {"a": 3, "b": 1}), Example("i", "r")]
    with pytest.raises(UserError, match="--split natural: 1 of 5 training rows name no client"):
        deal(2, 2, "natural", train=some, test=some)


def test_natural_test_rows_may_name_no_client() -> None:
    test = rows("test", 2, 5)
    dealt = deal(2, 2, "natural", train=owned("train", {"a": 3, "b": 1}), test=test)
    assert [client.test_own for client in dealt] == [(), ()]
    assert sum(len(client.test_all) for client in dealt) == len(test)


def test_natural_needs_no_task_labels() -> None:
    unlabelled = [Example(f"i{i}", "r", None, str(i % 3)) for i in range(9)]
    assert [len(client.train) for client in deal(3, 1, "natural", train=unlabelled, test=unlabelled)] == [3, 3, 3]


def test_who_is_left_out_or_lacks_test_rows_is_said() -> None:
    train, test = owned("train", SIZES), owned("test", {"a": 5, "z": 3, "y": 1})
    assert natural_notes(train, test, natural_clients(train, 3)) == [
        "--clients 3: the first of the 5 clients that the training data names",
        "2 clients of the test data have no training rows and do not take part",
        "2 of 3 clients have no test rows of their own",
    ]
    assert natural_notes(train, train, natural_clients(train)) == []


@pytest.mark.parametrize("split", SPLITS)
def test_other_splits_do_not_ask_whose_row_it_is(split: str) -> None:
    train, test = rows("train", 3, 60), rows("test", 3, 30)
    named = [[Example(e.instruction, e.response, e.task, "one") for e in share] for share in (train, test)]
    for one, two in zip(deal(4, 3, split), deal(4, 3, split, train=named[0], test=named[1]), strict=True):
        assert [e.instruction for e in one.train] == [e.instruction for e in two.train]
        assert [e.instruction for e in one.test_own] == [e.instruction for e in two.test_own]
