"""Whole runs with differential privacy: the same bytes again and after an interruption, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.dry_run import dry_run
from fedrouter_sim.operations.train import Trained, train
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
Bytes = Callable[[Path], dict[str, bytes]]
PRIVATE = {"dp_epsilon": 8.0, "local_steps": 2, "participation": 0.7, "test_examples_per_client": 1}


class Stops(Display):
    """Stops the run as it hears of an update, by its number."""

    def __init__(self, at: int) -> None:
        self.left = at

    def received(self, update: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def private_run(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(micro_config(**PRIVATE), tmp_path_factory.mktemp("private") / "run")


def settled(read: Bytes, folder: Path) -> dict[str, bytes]:
    """Return what the settings decide, without how long it took."""
    found = read(folder)
    lines = [json.loads(line) for line in found.pop("rounds.jsonl").splitlines()] if "rounds.jsonl" in found else []
    return found | {"rounds": json.dumps([line | {"seconds": 0} for line in lines]).encode()}


def test_it_says_what_it_spent(private_run: Trained) -> None:
    account = Run(private_run.folder).summary.privacy
    assert account is not None and account == private_run.summary.privacy
    assert 7.9 < account.epsilon <= account.epsilon_given == 8.0
    assert {one.kind: one.times for one in account.releases} == {
        "updates": 2, "centroids": 1, "standardisation sums": 1,
    }  # fmt: skip


def test_a_dry_run_says_it_before(private_run: Trained) -> None:
    budget = dry_run(private_run.config).budget
    assert budget is not None and budget.spent(2) == private_run.summary.privacy


@pytest.mark.parametrize("stop_at", [4])
def test_an_interrupted_run_ends_with_the_bytes_of_the_whole_one(
    private_run: Trained, tmp_path: Path, trained_bytes: Bytes, stop_at: int
) -> None:
    """What was received before is sent again, and neither clipped nor noised twice."""
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(private_run.config, out, display=Stops(stop_at), checkpoint_every="client")
    assert not out.exists()
    train(private_run.config, out, resume=True, checkpoint_every="client")
    assert settled(trained_bytes, out) == settled(trained_bytes, private_run.folder)


def test_no_archive_holds_what_was_not_noised(private_run: Trained) -> None:
    archive = Run(private_run.folder).deployment.archive
    assert archive is not None
    assert {len(message.sizes) for message in archive.clients} == {2}
    assert all((message.sizes == 1).all() for message in archive.clients)
    assert all(pool.answer_tokens <= 64 for pool in Run(private_run.folder).pools)


def test_it_cannot_be_aggregated_anew(private_run: Trained, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"was trained with --dp-epsilon 8, and its updates are as the server"):
        aggregate(private_run.folder, tmp_path / "again")


def test_rounds_that_nobody_takes_part_in_are_of_noise(micro_config: ConfigMaker, tmp_path: Path) -> None:
    done = train(micro_config(method="fedavg", **PRIVATE | {"participation": 0.01}), tmp_path / "run")
    lines = [json.loads(line) for line in (done.folder / "rounds.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["participants"] for line in lines] == [[], []]
    assert done.summary.privacy is not None and done.summary.optimizer_steps == 0


def test_tasks_are_found_by_noised_sketches(micro_config: ConfigMaker, tmp_path: Path) -> None:
    budget = dry_run(micro_config(**PRIVATE, tasks="auto")).budget
    assert budget is not None and [one.kind for one in budget.releases][-1] == "updates"
    assert "gradient sketches" in {one.kind for one in budget.releases}


def test_clients_with_fewer_rows_than_clusters_are_counted_by_their_rows(
    micro_config: ConfigMaker, tmp_path: Path
) -> None:
    """Each sends as many centroids as all others, of which some are of no rows."""
    done = train(micro_config(**PRIVATE, tasks="auto", examples_per_client=4), tmp_path / "run")
    run = Run(done.folder)
    assert run.truth is not None and run.archive is not None
    sizes = [[sum(counts.values()) for counts in own] for own in run.truth.clusters.values()]
    assert [len(own) for own in sizes] == [len(message.sizes) for message in run.archive.clients]
    assert [sum(own) for own in sizes] == [4] * 4 and all(own[-1] == 0 for own in sizes)
    assert done.summary.ari_global is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dp_delta": 0.25}, r"--dp-delta 0.25: must be below 1 / --clients = 0.25"),
        ({"aggregation": "median"}, r"--aggregation median: does not go with --dp-epsilon, as noise is measured"),
        ({"drift_at": 1, "drift_to": "all"}, r"--drift-to all: does not go with --dp-epsilon, as clients would"),
        ({"unseen": "mix"}, r"--unseen mix: does not go with --dp-epsilon, as clients do not send"),
        ({"stragglers": 0.5}, r"--late count: does not go with --dp-epsilon, as a client whose update"),
        ({"min_participants": 2}, r"--min-participants 2: does not go with --dp-epsilon, as a round that is skipped"),
        ({"dp_clip": 0.0}, r"--dp-clip 0.0: must be above 0"),
        ({"dp_epsilon": -1.0}, r"--dp-epsilon -1.0: must be at least 0"),
    ],
)
def test_settings_that_do_not_go_with_it_are_refused(
    micro_config: ConfigMaker, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        micro_config(**PRIVATE | changes)


OWN = """
from dataclasses import replace

from fedrouter_sim.federation.task_questions import AskFeatureSums
from fedrouter_sim.methods.fedavg import FedAvg


class Asks(FedAvg):
    name = "asks"

    def plan(self, federation):
        federation.ask(AskFeatureSums())
        return super().plan(federation)


class Replans(FedAvg):
    name = "replans"

    def plan(self, federation):
        return replace(super().plan(federation), until=1, more_follows=True)


class Silent(FedAvg):
    name = "silent"

    def releases(self, config):
        return ()
"""


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Asks", "has clients send more standardisation sums than it says"),
        ("Replans", "--dp-epsilon: --method replans plans by what single clients sent"),
        ("Silent", "has clients send updates in round 1, which the budget does not know of"),
    ],
)
def test_an_own_method_cannot_send_what_is_not_paid_for(
    micro_config: ConfigMaker, tmp_path: Path, name: str, words: str
) -> None:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    config = micro_config(**PRIVATE | {"method": f"{tmp_path / 'own.py'}:{name}", "participation": 1.0})
    with pytest.raises(UserError, match=words):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
