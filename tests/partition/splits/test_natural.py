"""As the data says: every row names its client."""

import numpy as np
import pytest
from dealing import deal, owned, rows

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.assigning import split_iid
from fedrouter_sim.partition.splits.natural import natural_clients, natural_notes

SIZES = {"b": 9, "a": 4, "c": 1, "B": 6, "ä": 2}


@pytest.mark.parametrize("clients", [1, 3, 5])
def test_natural_gives_every_client_its_own_rows_and_no_other(clients: int) -> None:
    train, test = owned("train", SIZES), owned("test", {"a": 5, "ä": 1, "B": 2, "z": 3})
    dealt = deal(clients, 2, "natural", train=train, test=test)
    ids = ["B", "a", "b", "c", "ä"][:clients]  # as text, the same for training and test
    assert natural_clients(train, clients) == ids
    assert [client.train for client in dealt] == [tuple(e for e in train if e.client == name) for name in ids]
    assert [client.test_own for client in dealt] == [tuple(e for e in test if e.client == name) for name in ids]
    assert [client.test_all for client in dealt] == split_iid(test, clients, 10**6, 1)


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
    with pytest.raises(UserError, match="--clients 6: the training data has rows of 5 clients; give --clients 5"):
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
