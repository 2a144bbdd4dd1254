"""From settings to clients: the same for every method."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.methods import METHODS
from fedrouter_sim.operations.prepare import deal_data, drifted_clients, load_data, unused_settings
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.run_folder import Run

ConfigMaker = Callable[..., RunConfig]


def test_every_method_gets_the_same_clients(micro_config: ConfigMaker) -> None:
    first = deal_data(micro_config())
    assert all(deal_data(micro_config(method=method)) == first for method in METHODS)
    assert deal_data(micro_config(seed=2)).clients != first.clients
    assert sum(len(client.train) for client in first.clients) == len(first.shares.train) == 80


@pytest.mark.parametrize(
    ("method", "given", "unused"),
    [
        ("fedrouter", {"tasks", "rounds", "normalize"}, []),
        ("fedavg", {"tasks", "rounds", "local_clusters"}, ["local_clusters", "tasks"]),
        ("base", {"rounds", "lr", "seed", "tasks"}, ["lr", "rounds", "tasks"]),
        ("fedrouter", {"alpha", "clients"}, ["alpha"]),
        ("fedprox", {"fedprox_mu", "ditto_lambda", "warmup_rounds"}, ["ditto_lambda", "warmup_rounds"]),
        ("ditto", {"fedprox_mu", "ditto_lambda", "warmup_rounds"}, ["fedprox_mu", "warmup_rounds"]),
        ("clustered", {"tasks", "warmup_rounds", "local_clusters", "normalize"}, ["local_clusters", "normalize"]),
        ("feddpa", {"tasks", "rounds", "fedprox_mu"}, ["fedprox_mu", "tasks"]),
        ("base", {"drift_at", "drift_to", "eval_every", "hold_out"}, ["eval_every"]),
    ],
)
def test_unused_settings(micro_config: ConfigMaker, method: str, given: set[str], unused: list[str]) -> None:
    assert unused_settings(micro_config(method=method), METHODS[method], frozenset(given)) == unused


def test_without_drift_or_held_out_task_there_are_two_sorts_of_test_data(micro_config: ConfigMaker) -> None:
    dealt = deal_data(micro_config())
    assert (dealt.drifted, dealt.held_out) == ((), ())
    shares = dealt.test_shares()
    assert list(shares) == ["all", "own"]
    assert shares["own"] == dict(enumerate(own.test_own for own in dealt.clients))
    assert {client: len(found) for client, found in dealt.test_shares(2)["all"].items()} == dict.fromkeys(range(4), 2)


def test_a_drift_deals_the_same_rows_by_another_split(micro_config: ConfigMaker, backbone: Any) -> None:
    config = micro_config(drift_at=2, drift_to="single")
    dealt, plain = deal_data(config), deal_data(micro_config())
    assert dealt.clients == plain.clients
    assert dealt.drifted == deal_data(micro_config(split="single")).clients
    assert dealt.test_shares()["drift"] == dict(enumerate(own.test_own for own in dealt.drifted))
    after = drifted_clients(config, dealt, backbone)
    assert [client.examples for client in after] == [own.train for own in dealt.drifted]
    assert [client.id for client in after] == [0, 1, 2, 3]
    assert drifted_clients(micro_config(), plain, backbone) == ()


@pytest.mark.parametrize("changes", [{}, {"drift_at": 3, "drift_to": "all"}])
def test_a_held_out_task_is_in_nobodys_data(micro_config: ConfigMaker, changes: dict[str, Any]) -> None:
    dealt = deal_data(micro_config(hold_out="sum", **changes))
    held = [example for shard in dealt.held_out for example in shard]
    assert {example.task for example in held} == {"sum"}
    assert len(held) == len(set(held)) == 6
    assert [len(shard) for shard in dealt.held_out] == [2, 2, 1, 1]
    every = [e for own in (*dealt.clients, *dealt.drifted) for e in (*own.train, *own.test_own, *own.test_all)]
    every += [*dealt.shares.train, *dealt.shares.validation, *dealt.shares.test]
    assert {example.task for example in every} == {"opinion", "reverse", "title"}
    shares = dealt.test_shares()
    assert list(shares) == ["all", "own", *(["drift"] if changes else []), "held-out"]
    assert shares["held-out"] == dict(enumerate(dealt.held_out))


@pytest.mark.parametrize("task", ["poem", "Sum"])
def test_an_unknown_held_out_task_is_refused_with_those_that_there_are(micro_config: ConfigMaker, task: str) -> None:
    with pytest.raises(UserError, match=f"--hold-out {task}: .* there are: opinion, reverse, sum, title") as caught:
        deal_data(micro_config(hold_out=task))
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
        deal_data(micro_config(hold_out="sum", split="all", data=unlabelled))
    for data in (bare, untested, alone):
        with pytest.raises(UserError):
            deal_data(micro_config(hold_out="sum", split="all", data=data))


def test_alpha_is_used_by_dirichlet(micro_config: ConfigMaker) -> None:
    for changes in ({"split": "dirichlet"}, {"drift_at": 2, "drift_to": "dirichlet"}):
        assert unused_settings(micro_config(**changes), METHODS["fedrouter"], frozenset({"alpha"})) == []


def test_the_column_of_clients_is_used_by_natural(micro_config: ConfigMaker) -> None:
    for changes, unused in (
        ({}, ["client_column"]),
        ({"split": "natural"}, []),
        ({"drift_at": 2, "drift_to": "natural"}, []),
    ):
        config = micro_config(**changes)
        assert unused_settings(config, METHODS["fedrouter"], frozenset({"client_column"})) == unused


def test_data_given_in_memory_are_dealt_out_like_those_on_disk(micro_config: ConfigMaker) -> None:
    for changes in ({}, {"hold_out": "sum"}, {"drift_at": 2, "drift_to": "all"}):
        config = micro_config(**changes)
        shares, _ = load_data(micro_config())
        assert deal_data(micro_config(**changes, data="nowhere"), shares) == deal_data(config)


@pytest.fixture
def owned_data(micro_data: Path, tmp_path: Path) -> str:
    """The micro data with a column `user` of the clients 1, 2 and 10; 2 has no test rows, and 3 has nothing else."""
    names = {"train": "1 2 10", "validation": "1", "test": "1 10 3"}
    users = {share: itertools.cycle(of_share.split()) for share, of_share in names.items()}
    return rewritten(micro_data, tmp_path / "owned", lambda row, share: row | {"user": next(users[share])})


def test_a_natural_partition_follows_the_data_and_is_recorded(micro_config: ConfigMaker, owned_data: str) -> None:
    dealt = deal_data(micro_config(data=owned_data, split="natural", client_column="user", clients=3))
    assert dealt.client_ids == ("1", "2", "10")
    for user, own in zip(dealt.client_ids, dealt.clients, strict=True):
        assert {example.client for example in own.train} == {user}
        assert {example.client for example in own.test_own} == ({user} if user != "2" else set())
    assert dealt.notes == (
        "1 clients of the test data have no training rows and do not take part",
        "1 of 3 clients have no test rows of their own",
    )
    assert dealt.record() == {"data_clients": ["1", "2", "10"], "data_notes": list(dealt.notes)}
    assert list(dealt.test_shares()["own"]) == [0, 1, 2] and dealt.test_shares()["own"][1] == ()


def test_too_few_natural_clients_or_no_column_are_refused(micro_config: ConfigMaker, owned_data: str) -> None:
    with pytest.raises(UserError, match="--clients 4: the training data has rows of 3 clients"):
        deal_data(micro_config(data=owned_data, split="natural", client_column="user", clients=4))
    with pytest.raises(UserError, match=r"--split natural: .* --client-column"):
        deal_data(micro_config(data=owned_data, split="natural", clients=3))
    with pytest.raises(UserError, match=r"no column 'owner'; .* --client-column"):
        deal_data(micro_config(data=owned_data, split="natural", client_column="owner", clients=3))


def test_other_splits_record_nothing_of_clients(micro_config: ConfigMaker) -> None:
    dealt = deal_data(micro_config())
    assert (dealt.client_ids, dealt.notes, dealt.record()) == ((), (), {})


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
