"""Two workers of Ray, started once for all of this file, leave the bytes of one process, whatever becomes of them."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import Interrupted, UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation import crew as crew_module
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.crew import Crew, crew_of
from fedrouter_sim.federation.engine import Engine
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.federation.on_ray import OnRay
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.questions import AskFacts, AskReferences, Question
from fedrouter_sim.messages import ClientFacts
from fedrouter_sim.operations.train import train

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")

ConfigMaker = Callable[..., RunConfig]
FederationMaker = Callable[..., Federation]
BytesOf = Callable[[Path], dict[str, bytes]]
SHORT = {"rounds": 2, "local_steps": 1, "test_examples_per_client": 1}


@dataclass(frozen=True)
class AskTrouble(Question[ClientFacts]):
    """Something that goes wrong in client 1, as `how` says."""

    how: str

    def answer(self, client: Client) -> ClientFacts:
        if client.id == 1 and self.how == "death":
            os._exit(1)
        if client.id == 1:
            raise {"user": UserError("--lr 0: too little"), "own": LookupError("nowhere")}[self.how]
        return ClientFacts(client.id, 0, 0, 0)


class Killer(Display):
    """Kills a worker as soon as there is a plan, and the other one at the first update."""

    def __init__(self, workers: list[int]) -> None:
        self.left = workers

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        if len(self.left) == 2:
            os.kill(self.left.pop(), signal.SIGKILL)

    def stepped(self, loss: float) -> None:
        if len(self.left) == 1:
            os.kill(self.left.pop(), signal.SIGKILL)


class Stops(Display):
    """Interrupts at the sixth step, which is in the second round: two of its clients have sent by then."""

    steps = 0

    def stepped(self, loss: float) -> None:
        self.steps += 1
        if self.steps == 6:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def crew(micro_config: ConfigMaker) -> Iterator[Crew]:
    """The two workers."""
    with crew_of(Engine(2), micro_config()) as started:
        assert started is not None
        yield started


@pytest.fixture
def bytes_of(trained_bytes: BytesOf) -> BytesOf:
    """Return a function that reads what has to be the same: what was trained, but for seconds, and the scores."""

    def read(run: Path) -> dict[str, bytes]:
        scores = {path.name: path.read_bytes() for path in sorted((run / "eval").iterdir())}
        summary = json.loads((run / "summary.json").read_text())
        return trained_bytes(run) | scores | {"traffic": str([summary["bytes_up"], summary["bytes_down"]]).encode()}

    return read


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "fedrouter", "drift_at": 2, "drift_to": "single", "eval_every": 2},  # asks between rounds
        {"method": "clustered"},  # plans anew after a round
        {"method": "ditto"},  # private pools, and a pull
        {"method": "central"},  # all rows in one client
    ],
    ids=lambda changes: changes["method"],
)
def test_workers_leave_the_bytes_of_one_process(
    changes: dict[str, Any], crew: Crew, micro_config: ConfigMaker, backbone: Any, tmp_path: Path, bytes_of: BytesOf
) -> None:
    config = micro_config(**SHORT | changes)
    alone = train(config, tmp_path / "alone", backbone=backbone).folder
    spread = train(config, tmp_path / "spread", backbone=backbone, workers=2).folder
    assert bytes_of(spread) == bytes_of(alone)
    manifests = [json.loads((run / "manifest.json").read_text()) for run in (alone, spread)]
    assert [manifest["workers"] for manifest in manifests] == [1, 2]
    assert [manifest["engine"].split()[0] for manifest in manifests] == ["process", "ray"]


def test_an_interrupted_run_goes_on_by_workers_or_without(
    crew: Crew, micro_config: ConfigMaker, backbone: Any, tmp_path: Path, bytes_of: BytesOf
) -> None:
    config = micro_config(**SHORT, method="fedrouter")
    whole = train(config, tmp_path / "whole", backbone=backbone).folder
    for name, workers in (("by workers", 2), ("without", None)):
        with pytest.raises(Interrupted):
            train(config, tmp_path / name, display=Stops(), backbone=backbone, workers=2, checkpoint_every="client")
        train(config, tmp_path / name, backbone=backbone, workers=workers, resume=True)
        assert bytes_of(tmp_path / name) == bytes_of(whole)


def test_what_is_dealt_out_is_the_same_each_time() -> None:
    rows = [[Example("one", "a")], [Example("two", "b"), Example("three", "c")]]
    workers = OnRay(cast(Crew, None), rows, rows)  # which holds nothing as long as nothing is asked
    assert workers.gathered() is workers.gathered() and workers.after_drift() is workers.after_drift()
    assert workers.gathered()._rows == [[example for own in rows for example in own]]


def test_what_goes_wrong_in_a_worker_goes_wrong_here(crew: Crew, federate: FederationMaker, backbone: Any) -> None:
    workers = on_ray(crew, federate, backbone)
    with pytest.raises(UserError, match=r"^--lr 0: too little$"):
        workers.ask(AskTrouble("user"))
    with pytest.raises(LookupError, match="nowhere"):
        workers.ask(AskTrouble("own"))
    assert [facts.id for facts in workers.ask(AskFacts())] == [0, 1, 2, 3]  # nobody is the worse for it


def test_what_comes_from_a_worker_is_ones_own(crew: Crew, federate: FederationMaker, backbone: Any) -> None:
    question = AskReferences(2, seed=1, purpose="test")
    here = federate().workers.ask(question)
    for own, other in zip(here, on_ray(crew, federate, backbone).ask(question), strict=True):
        np.testing.assert_array_equal(own.embeddings, other.embeddings)
        other.embeddings[:] = 0  # methods may


@pytest.mark.long
def test_a_run_survives_its_workers(
    crew: Crew, micro_config: ConfigMaker, backbone: Any, tmp_path: Path, bytes_of: BytesOf
) -> None:
    config = micro_config(**SHORT, method="fedrouter", drift_at=2, drift_to="single")
    alone = train(config, tmp_path / "alone", backbone=backbone).folder
    killer = Killer(crew.processes())
    spread = train(config, tmp_path / "spread", display=killer, backbone=backbone, workers=2).folder
    assert killer.left == [] and bytes_of(spread) == bytes_of(alone)


def test_what_kills_every_worker_ends_in_one_line(
    crew: Crew, federate: FederationMaker, backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew_module, "LOSSES", 0)
    with pytest.raises(UserError, match=r"^--workers: a worker was lost 1 times with the same work \(.*\); give fewer"):
        on_ray(crew, federate, backbone).ask(AskTrouble("death"))


def on_ray(crew: Crew, federate: FederationMaker, backbone: Any) -> OnRay:
    """Have the workers hold the clients of a federation."""
    federation = federate()
    crew.open(federation.config, backbone)
    return OnRay(crew, [client.examples for client in federation.workers._clients.values()])  # type: ignore[attr-defined]
