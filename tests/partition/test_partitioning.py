"""Partitioning: what holds whatever the split."""

from typing import Any

import pytest
from dealing import GRID, deal, mixture, rows

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.partitioning import partition
from fedrouter_sim.partition.splits import SPLITS as TABLE
from fedrouter_sim.partition.splits.split import FractionSplit, Split, Wanted

SPLITS = [name for name in TABLE.names if issubclass(TABLE.class_of(name), FractionSplit)]


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


def test_too_many_clients_are_refused_by_flag_number_and_remedy() -> None:
    with pytest.raises(UserError, match=r"--clients 9: client \d+ .* of 4 .*; lower --clients or give more data"):
        deal(9, 2, "all", train=rows("train", 2, 2))


def test_a_task_that_the_test_data_lacks_is_left_out_of_the_own_test_share() -> None:
    test = [example for example in rows("test", 3, 30) if example.task != "t1"]
    dealt = deal(3, 3, "dual", test=test)
    assert [set(mixture(client.test_own)) for client in dealt] == [{"t0"}, {"t2"}, {"t2", "t0"}]


def test_labels_in_one_share_only_are_no_labels() -> None:
    unlabelled = [Example(example.instruction, "response") for example in rows("train", 3, 60)]
    dealt = deal(4, 3, "all", train=unlabelled)
    assert all(client.test_own for client in dealt)
    with pytest.raises(UserError, match="--split dual"):
        deal(4, 3, "dual", train=unlabelled)


@pytest.mark.parametrize("split", SPLITS)
def test_other_splits_do_not_ask_whose_row_it_is(split: str) -> None:
    train, test = rows("train", 3, 60), rows("test", 3, 30)
    named = [[Example(e.instruction, e.response, e.task, "one") for e in share] for share in (train, test)]
    for one, two in zip(deal(4, 3, split), deal(4, 3, split, train=named[0], test=named[1]), strict=True):
        assert [e.instruction for e in one.train] == [e.instruction for e in two.train]
        assert [e.instruction for e in one.test_own] == [e.instruction for e in two.test_own]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, "it gave NoneType"),
        (([()], [()]), "it gave 1 and 1"),
        (([(), ()], [(), ()]), "client 0 would get no training example"),
    ],
)
def test_what_a_split_gives_is_checked(given: Any, said: str) -> None:
    class Odd(Split):
        name = "odd"

        def parts(self, train: Any, test: Any, wanted: Wanted) -> Any:
            return given

    with pytest.raises(UserError, match=f"--split odd: .*{said}"):
        partition(rows("train", 1, 4), rows("test", 1, 4), Odd(), Wanted(2, 1, 9, 9))
