"""The data of a run: loaded, partitioned among the clients, and what else is tested; the same for every method."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from inside import clients_of

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.methods import METHODS
from fedrouter_sim.operations.train import train
from fedrouter_sim.partition.run_data import (
    check_new,
    checked_shares,
    draw_fewer,
    load_data,
    partition_data,
    reading_of,
)
from fedrouter_sim.partition.test_data import RUN_TEST_DATA
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
FederationMaker = Callable[..., Any]


def test_every_method_gets_the_same_clients(micro_config: ConfigMaker) -> None:
    first = partition_data(micro_config())
    assert all(partition_data(micro_config(method=method)) == first for method in METHODS.names)
    assert partition_data(micro_config(seed=2)).clients != first.clients
    assert sum(len(client.train) for client in first.clients) == len(first.shares.train) == 80


def test_without_drift_or_held_out_task_there_are_two_sorts_of_test_data(micro_config: ConfigMaker) -> None:
    run_data = partition_data(micro_config())
    assert (run_data.drifted, run_data.held_out) == ((), ())
    shares = run_data.test_shares()
    assert list(shares) == ["all", "own"]
    assert sum(len(own) for share in shares.values() for own in share.values()) == 4 * (4 + 4)
    assert shares["own"] == dict(enumerate(own.test_own for own in run_data.clients))


def test_fewer_samples_of_a_client_are_drawn_from_all_and_keep_their_order() -> None:
    examples = tuple(Example(f"{task}{number}", "yes", task) for task in "abc" for number in range(20))
    shares = {"all": {0: examples, 4: examples}, "own": {0: examples[:3]}}
    drawn = draw_fewer(shares, 9, seed=1)
    assert drawn["own"] == {0: examples[:3]} and list(drawn["all"]) == [0, 4]
    for own in drawn["all"].values():
        assert len(own) == 9 and list(own) == sorted(own, key=examples.index)
        assert {example.task for example in own} == set("abc")  # the first ones would be of one task
    assert drawn["all"][0] != drawn["all"][4]
    assert draw_fewer(shares, 9, seed=1) == drawn != draw_fewer(shares, 9, seed=2)
    assert set(draw_fewer(shares, 4, seed=1)["all"][0]) < set(drawn["all"][0])


def test_a_drift_deals_the_same_rows_by_another_split(micro_config: ConfigMaker, federate: FederationMaker) -> None:
    changes = {"drift_at": 2, "drift_to": "single"}
    run_data, plain = partition_data(micro_config(**changes)), partition_data(micro_config())
    assert run_data.clients == plain.clients
    assert run_data.drifted == partition_data(micro_config(split="single")).clients
    assert run_data.test_shares()["drift"] == dict(enumerate(own.test_own for own in run_data.drifted))
    after = clients_of(federate(**changes).after_drift())
    assert [client.examples for client in after] == [own.train for own in run_data.drifted]
    assert [client.id for client in after] == [0, 1, 2, 3]
    assert clients_of(federate().after_drift()) == []


@pytest.mark.parametrize("split", ["dual", "dirichlet"])
def test_a_drift_that_changes_nothing_is_refused(micro_config: ConfigMaker, split: str) -> None:
    def checked(**changes: Any) -> None:
        check_new(micro_config(**changes), partition_data(micro_config(**changes)))

    with pytest.raises(UserError, match=f"^--drift-to {split}: gives the clients the rows that --split {split} gives"):
        checked(split=split, drift_at=2, drift_to=split)
    checked(split=split, drift_at=2, drift_to=split, drift_brings=("sum",))
    with pytest.raises(UserError, match="have --drift-brings name a task that they get by it"):  # nobody gets it
        checked(clients=2, split="single", drift_at=2, drift_to="single", drift_brings=("title",))


@pytest.mark.parametrize("changes", [{}, {"drift_at": 3, "drift_to": "all"}])
def test_a_held_out_task_is_in_nobodys_data(micro_config: ConfigMaker, changes: dict[str, Any]) -> None:
    run_data = partition_data(micro_config(hold_out="sum", **changes))
    held = [example for shard in run_data.held_out for example in shard]
    assert {example.task for example in held} == {"sum"}
    assert len(held) == len(set(held)) == 6
    assert [len(shard) for shard in run_data.held_out] == [2, 2, 1, 1]
    every = [e for own in (*run_data.clients, *run_data.drifted) for e in (*own.train, *own.test_own, *own.test_all)]
    every += [*run_data.shares.train, *run_data.shares.validation, *run_data.shares.test]
    assert {example.task for example in every} == {"opinion", "reverse", "title"}
    shares = run_data.test_shares()
    assert list(shares) == ["all", "own", *(["drift"] if changes else []), "held-out"]
    assert shares["held-out"] == dict(enumerate(run_data.held_out))


@pytest.mark.parametrize("task", ["poem", "Sum"])
def test_an_unknown_held_out_task_is_refused_with_those_that_there_are(micro_config: ConfigMaker, task: str) -> None:
    with pytest.raises(UserError, match=f"--hold-out {task}: .* there are: opinion, reverse, sum, title") as caught:
        partition_data(micro_config(hold_out=task))
    assert "\n" not in str(caught.value)


def rewritten(micro_data: Path, folder: Path, change: Callable[[dict[str, str], str], dict[str, str] | None]) -> str:
    """The micro data with every row changed, or left out where the change is None."""
    folder.mkdir()
    for path in micro_data.iterdir():
        rows = [change(json.loads(line), path.stem) for line in path.read_text(encoding="utf-8").splitlines()]
        (folder / path.name).write_text("".join(json.dumps(row) + "\n" for row in rows if row), encoding="utf-8")
    return str(folder)


def test_a_held_out_task_needs_labels_test_rows_and_another_task(
    micro_config: ConfigMaker, micro_data: Path, tmp_path: Path
) -> None:
    bare = rewritten(micro_data, tmp_path / "bare", lambda row, _: row | {"task": ""})
    unlabelled = rewritten(
        micro_data, tmp_path / "unlabelled", lambda row, _: {k: v for k, v in row.items() if k != "task"}
    )
    untested = rewritten(
        micro_data, tmp_path / "untested", lambda row, share: None if (share, row["task"]) == ("test", "sum") else row
    )
    alone = rewritten(micro_data, tmp_path / "alone", lambda row, _: row if row["task"] == "sum" else None)
    with pytest.raises(UserError, match=r"--hold-out sum: .* none \(name the column with --task-column\)"):
        partition_data(micro_config(hold_out="sum", split="all", data=unlabelled))
    for data in (bare, untested, alone):
        with pytest.raises(UserError):
            partition_data(micro_config(hold_out="sum", split="all", data=data))


def test_data_given_in_memory_are_dealt_out_like_those_on_disk(micro_config: ConfigMaker) -> None:
    for changes in ({}, {"hold_out": "sum"}, {"drift_at": 2, "drift_to": "all"}):
        config = micro_config(**changes)
        shares, _ = load_data(micro_config())
        assert partition_data(micro_config(**changes, data="nowhere"), shares) == partition_data(config)


@pytest.fixture
def owned_data(micro_data: Path, tmp_path: Path) -> str:
    """The micro data with a column `user` of the clients 1, 2 and 10; 2 has no test rows, and 3 has nothing else."""
    names = {"train": "1 2 10", "validation": "1", "test": "1 10 3"}
    users = {share: itertools.cycle(of_share.split()) for share, of_share in names.items()}
    return rewritten(micro_data, tmp_path / "owned", lambda row, share: row | {"user": next(users[share])})


def test_a_natural_partition_follows_the_data_and_is_recorded(micro_config: ConfigMaker, owned_data: str) -> None:
    run_data = partition_data(micro_config(data=owned_data, split="natural", client_column="user", clients=3))
    assert run_data.client_ids == ("1", "2", "10")
    for user, own in zip(run_data.client_ids, run_data.clients, strict=True):
        assert {example.client for example in own.train} == {user}
        assert {example.client for example in own.test_own} == ({user} if user != "2" else set())
    assert run_data.notes == (
        "1 clients of the test data have no training rows and do not take part",
        "1 of 3 clients have no test rows of their own",
    )
    assert run_data.record() == {"data_clients": ["1", "2", "10"], "data_notes": list(run_data.notes)}
    assert list(run_data.test_shares()["own"]) == [0, 1, 2] and run_data.test_shares()["own"][1] == ()


def test_too_few_natural_clients_or_no_column_are_refused(micro_config: ConfigMaker, owned_data: str) -> None:
    with pytest.raises(UserError, match="--clients 4: the training data has rows of 3 clients"):
        partition_data(micro_config(data=owned_data, split="natural", client_column="user", clients=4))
    with pytest.raises(UserError, match=r"--split natural: .* --client-column"):
        partition_data(micro_config(data=owned_data, split="natural", clients=3))
    with pytest.raises(UserError, match=r"no column 'owner'; .* --client-column"):
        partition_data(micro_config(data=owned_data, split="natural", client_column="owner", clients=3))


def test_other_splits_record_nothing_of_clients(micro_config: ConfigMaker) -> None:
    run_data = partition_data(micro_config())
    assert (run_data.client_ids, run_data.notes, run_data.record()) == ((), (), {})


def test_a_run_says_whose_rows_its_clients_hold(
    micro_config: ConfigMaker, owned_data: str, backbone: Any, tmp_path: Path
) -> None:
    config = micro_config(data=owned_data, split="natural", client_column="user", clients=2, rounds=1, local_steps=2)
    done = train(config, tmp_path / "run", backbone=backbone)
    manifest = Run(done.folder).manifest
    assert manifest["data_clients"] == ["1", "2"]
    assert manifest["data_notes"] == [note for note in done.notes if note in manifest["data_notes"]]
    assert manifest["data_notes"][0] == "--clients 2: the first of the 3 clients that the training data names"
    (own,) = (result for result in done.results if result.cell.name == "own-global")
    assert set(own.per_client) == {0}  # the other has no test rows


def test_the_names_of_the_test_data_are_those_that_a_run_may_have(micro_config: ConfigMaker) -> None:
    every = partition_data(micro_config(hold_out="sum", drift_at=2, drift_to="all")).test_shares()
    assert set(every) == set(RUN_TEST_DATA)


def test_labels_are_those_of_the_training_rows_also_after_the_drift_and_in_one_place(micro_config: ConfigMaker) -> None:
    run_data = partition_data(micro_config(drift_at=2, drift_to="single"))
    labels, drifted = run_data.labels(), run_data.labels(drifted=True)
    for found, clients in ((labels, run_data.clients), (drifted, run_data.drifted)):
        assert found == {client: [example.task for example in own.train] for client, own in enumerate(clients)}
    assert run_data.labels(gathered=True) == {0: [task for client in range(4) for task in labels[client]]}
    assert run_data.labels(drifted=True, gathered=True) == {0: [task for c in range(4) for task in drifted[c]]}


def test_settings_say_how_data_are_read(micro_config: ConfigMaker) -> None:
    reading = reading_of(micro_config(instruction_column="q", client_column="who", hub_folder="copies", seed=3))
    assert (reading.columns.instruction, reading.columns.response, reading.columns.client) == (
        ("q",),
        "response",
        "who",
    )
    assert (reading.format, reading.seed, reading.hub_folder) == ("auto", 3, "copies")


SPLIT = """
from fedrouter_sim import Split


class Own(Split):
    name = "own"

    def __init__(self, first: int = 0):
        self.first = first

    def parts(self, train, test, wanted):
        return [train[self.first + i :: wanted.clients] for i in range(wanted.clients)], [()] * wanted.clients

    def client_ids(self, train, clients):
        return [f"c{i}" for i in range(clients)]

    def notes(self, train, test, clients):
        return ["own notes"]
"""


def test_an_own_split_gets_its_options_and_says_who_the_clients_are(micro_config: ConfigMaker, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SPLIT, encoding="utf-8")
    name = f"{tmp_path / 'mine.py'}:Own"
    rows = partition_data(micro_config()).shares.train
    run_data = partition_data(micro_config(split=name, option=("first=2",)))
    assert [client.train for client in run_data.clients] == [tuple(rows[2 + i :: 4]) for i in range(4)]
    assert list(run_data.test_shares()) == ["all"]
    assert (run_data.client_ids, run_data.notes) == (("c0", "c1", "c2", "c3"), ("own notes",))
    drifting = partition_data(micro_config(drift_at=1, drift_to=name))
    assert [client.train for client in drifting.drifted] == [tuple(rows[i::4]) for i in range(4)]
    assert drifting.client_ids == ("c0", "c1", "c2", "c3") and drifting.notes == ("own notes",)


def test_shares_given_in_python_are_checked_and_become_tuples() -> None:
    rows = [Example("1 + 1 = ?", "2", "sum", "anna"), Example("2 + 2 = ?", "4")]
    shares: Any = Shares(rows, [], rows[:1])
    checked = checked_shares(shares)
    assert (checked.train, checked.validation, checked.test) == (tuple(rows), (), (rows[0],))
    wrong: Any = Example("3 + 3 = ?", None)
    for change, words in (
        ({"train": []}, r"shares\.train: holds no example"),
        ({"test": [rows[0], wrong]}, r"shares\.test\[1\]: its response is None; give a text"),
        ({"validation": [replace(rows[0], instruction=" ")]}, r"shares\.validation\[0\]: its instruction is ' '"),
        ({"train": [replace(rows[0], task=7)]}, r"shares\.train\[0\]: its task is 7; give a text or None"),
        ({"train": [replace(rows[0], response="\ud83d")]}, r"shares\.train\[0\]: its response holds half a character"),
        ({"test": [replace(rows[0], task="\ud83d")]}, r"shares\.test\[0\]: its task holds half a character"),
        ({"train": [replace(rows[0], client=7)]}, r"shares\.train\[0\]: its client is 7; give a text or None"),
    ):
        with pytest.raises(UserError, match=words):
            checked_shares(replace(shares, **change))


def test_several_held_out_tasks_are_in_nobodys_data(micro_config: ConfigMaker) -> None:
    run_data = partition_data(micro_config(hold_out=("sum", "title")))
    held = [example.task for shard in run_data.held_out for example in shard]
    assert sorted(held) == ["sum"] * 6 + ["title"] * 6
    trained = {example.task for own in run_data.clients for example in own.train}
    assert trained == {example.task for example in run_data.shares.test} == {"opinion", "reverse"}
    every = ("opinion", "reverse", "sum", "title")
    with pytest.raises(UserError, match=r"--hold-out opinion --hold-out reverse .*: are all tasks"):
        partition_data(micro_config(hold_out=every))
    with pytest.raises(UserError, match="--hold-out none: must be"):
        partition_data(micro_config(hold_out=("sum", "none")))


def test_what_a_drift_brings_is_in_nobodys_data_before_it(micro_config: ConfigMaker) -> None:
    drift = {"drift_at": 2, "drift_to": "all"}
    run_data = partition_data(micro_config(**drift, drift_brings=("sum",)))
    before = {example.task for own in run_data.clients for example in (*own.train, *own.test_own)}
    assert before == {"opinion", "reverse", "title"}
    plain = partition_data(micro_config(**drift))
    assert (run_data.drifted, run_data.shares) == (plain.drifted, plain.shares)
    assert [own.test_all for own in run_data.clients] == [own.test_all for own in plain.clients]


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (("poem",), "--drift-brings poem: must be one of .* there are: opinion, reverse, sum, title"),
        (("opinion", "reverse", "sum", "title"), "--drift-brings opinion .*: are all tasks that there are"),
    ],
)
def test_a_drift_brings_tasks_that_there_are_and_not_all(
    micro_config: ConfigMaker, tasks: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        partition_data(micro_config(drift_at=2, drift_to="all", drift_brings=tasks))
    assert "\n" not in str(caught.value)


def test_a_drift_does_not_bring_clients_of_their_own(
    micro_config: ConfigMaker, micro_data: Path, tmp_path: Path
) -> None:
    users = {"sum": "1", "title": "2", "opinion": "3", "reverse": "4"}
    data = rewritten(micro_data, tmp_path / "owned", lambda row, _: row | {"user": users[row["task"]]})
    given = {"data": data, "split": "natural", "client_column": "user", "clients": 3}
    with pytest.raises(UserError, match=r"--drift-brings sum: without it the first 3 clients .* others"):
        partition_data(micro_config(**given, drift_at=2, drift_to="all", drift_brings=("sum",)))
