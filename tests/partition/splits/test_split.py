"""What a split is: the table of them, one's own, and fractions that cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dealing import deal, mixture, rows

from fedrouter_sim.arrays import Ints
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.partition.splits import SPLITS, find_split
from fedrouter_sim.partition.splits.split import FractionSplit, Wanted

OWN = """
import numpy as np

from fedrouter_sim import FractionSplit, Split


class First(FractionSplit):
    '''The first client holds a share of everything, the others share the rest.'''

    name = "first"
    needs_labels = False

    def __init__(self, share: float = 0.5):
        self.share = share

    def fractions(self, available, wanted):
        held = np.full((wanted.clients, len(available)), (1 - self.share) / max(wanted.clients - 1, 1))
        held[0] = self.share
        return held


class Turns(Split):
    '''Rows in turn, whatever they are; the data name the clients.'''

    name = "turns"

    def parts(self, train, test, wanted):
        return tuple([tuple(share[i :: wanted.clients]) for i in range(wanted.clients)] for share in (train, test))

    def client_ids(self, train, clients):
        return [f"client {i}" for i in range(clients)]

    def notes(self, train, test, clients):
        return [f"{len(train)} rows in turn"]
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file with splits of the user's."""
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    return tmp_path / "mine.py"


class Given(FractionSplit):
    """Takes what it is told."""

    name = "given"

    def __init__(self, held: Any) -> None:
        self.held = held

    def fractions(self, available: Ints, wanted: Wanted) -> Any:
        return self.held


def test_the_shipped_splits_are_found_by_name() -> None:
    assert SPLITS.names == ("single", "dual", "all", "dirichlet", "natural")
    assert [find_split(name).name for name in SPLITS.names] == list(SPLITS.names)
    with pytest.raises(UserError, match=r"--split triple: choose one of single, dual, .*, or .* FILE\.py:CLASS"):
        find_split("triple")


def test_an_own_split_by_task_is_dealt_out_with_its_options(own: Path) -> None:
    halves = deal(3, 2, f"{own}:First")
    assert [mixture(client.train) for client in halves] == [{"t0": 30, "t1": 30}, *[{"t0": 15, "t1": 15}] * 2]
    assert [mixture(client.test_own) for client in halves] == [
        {"t0": 15, "t1": 15},
        {"t0": 8, "t1": 8},
        {"t0": 7, "t1": 7},
    ]
    most = deal(3, 2, find_split(f"{own}:First", {"share": "0.8"}))
    assert [len(client.train) for client in most] == [96, 12, 12]
    handed = [example for client in most for example in client.train]
    assert len(handed) == len(set(handed)) == 120


def test_a_split_that_needs_no_labels_takes_rows_without(own: Path) -> None:
    unlabelled = [Example(f"i{i}", "r") for i in range(20)]
    assert [len(c.train) for c in deal(2, 1, f"{own}:First", train=unlabelled, test=unlabelled)] == [10, 10]


def test_an_own_split_may_deal_out_as_it_likes(own: Path) -> None:
    split, train = find_split(f"{own}:Turns"), rows("train", 2, 6)
    dealt = deal(2, 2, split, train=train)
    assert [client.train for client in dealt] == [tuple(train[0::2]), tuple(train[1::2])]
    assert split.client_ids(train, 2) == ["client 0", "client 1"]
    assert split.notes(train, (), 2) == ["12 rows in turn"]


def test_most_splits_say_nothing_of_clients() -> None:
    train = rows("train", 2, 6)
    for name in ("single", "dual", "all", "dirichlet"):
        assert (find_split(name).client_ids(train, 2), find_split(name).notes(train, train, 2)) == ([], [])


@pytest.mark.parametrize(
    "held",
    [
        np.full((2, 3), 0.2),  # a task too many
        np.full((3, 2), 0.2),  # a client too many
        np.full(4, 0.2),
        np.array([[0.6, 0.5], [0.6, 0.5]]),  # 1.2 of the first task
        np.array([[-0.1, 0.5], [0.6, 0.5]]),
        np.array([[np.nan, 0.5], [0.6, 0.5]]),
    ],
)
def test_fractions_that_cannot_be_are_refused_in_one_line(held: Any) -> None:
    with pytest.raises(UserError, match=r"--split given: fractions must be .* of shape \(2, 2\)") as caught:
        deal(2, 2, Given(held))
    assert "\n" not in str(caught.value)


def test_a_sum_of_one_up_to_rounding_is_taken_and_what_is_left_over_goes_to_nobody() -> None:
    thirds = deal(3, 1, Given(np.full((3, 1), 1 / 3 + 1e-9)))
    assert [len(client.train) for client in thirds] == [20, 20, 20]
    quarter = deal(2, 1, Given(np.full((2, 1), 0.25)))
    assert [len(client.train) for client in quarter] == [15, 15]


def test_a_client_that_would_get_nothing_is_named() -> None:
    with pytest.raises(UserError, match=r"--clients 2: client 1 would get no example of 120 under --split given"):
        deal(2, 2, Given([[1, 1], [0, 0]]))
