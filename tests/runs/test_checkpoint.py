"""States on disk: of every method, a simulation that goes on from one ends as one that was never interrupted."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from failing import let_fail

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.observers import Observer, Observers
from fedrouter_sim.methods import METHODS, find_method
from fedrouter_sim.runs import checkpoint as checkpoints
from fedrouter_sim.runs.checkpoint import Checkpoint
from fedrouter_sim.runs.unfinished import Begun, states
from fedrouter_sim.runs.writer import RunWriter
from fedrouter_sim.simulation import Outcome, simulate

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]
MADE_OF = {"data": "abc", "backbone": "def"}


class Dies(Observer):
    """Dies as it has heard of so many updates."""

    def __init__(self, after: int) -> None:
        self.left = after

    def received(self, update: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def begun_at(folder: Path, config: RunConfig, **more: Any) -> Begun:
    begun = Begun(folder, config.to_dict(), **more)
    if not begun.folder.exists():
        begun.folder.mkdir(parents=True)
        begun.save()
    return begun


def go_on(folder: Path, federation: Federation, after: int = 0, made_of: Any = MADE_OF, **more: Any) -> Outcome:
    """Begin a simulation, or go on with it; die after so many updates."""
    begun = begun_at(folder, federation.config, **more)
    checkpoint = Checkpoint(begun, made_of, lambda: {"total": 1.5})
    observers = Observers(RunWriter(folder, federation.config, {}), checkpoint, Dies(after))
    method = find_method(federation.config.method)
    return simulate(federation, method, observers, resumed=checkpoint.load(federation), keep=checkpoint.keep)


def check_same(one: Outcome, two: Outcome, same: Same) -> None:
    def records(outcome: Outcome) -> list[dict[str, Any]]:
        return [asdict(replace(record, seconds={})) for record in outcome.records]

    assert records(one) == records(two)
    assert one.traffic == two.traffic
    assert one.adapters.keys() == two.adapters.keys()
    assert all(same(one.adapters[pool], two.adapters[pool]) for pool in one.adapters)
    kept = [[(s.drifted, s.begins, s.planning, s.federation.ids) for s in o.stages] for o in (one, two)]
    assert kept[0] == kept[1]


SMALL = {"rounds": 2, "warmup_rounds": 1, "local_steps": 1, "drift_at": 2, "drift_to": "single"}


@pytest.mark.parametrize("method", METHODS.names)
def test_it_ends_as_if_it_had_never_been_interrupted(
    federate: FederationMaker, same: Same, tmp_path: Path, method: str
) -> None:
    """It dies in the last round, after the clients have drifted, or after the method has planned anew."""
    federation, trains = federate(method=method, **SMALL), find_method(method).trains
    whole = go_on(tmp_path / "whole", federation)
    sent = len(list((tmp_path / "whole").rglob("update.json")))
    every_client = METHODS.names.index(method) % 2 == 0
    for died in (True, False) if trains else (False,):
        again = federate(method=method, **SMALL)
        if died:
            with pytest.raises(KeyboardInterrupt):
                go_on(tmp_path / "parts", again, sent + 1, every_client=every_client)
        else:
            check_same(whole, go_on(tmp_path / "parts", again), same)
    paths = [path for path in (tmp_path / "whole").rglob("*") if path.is_file() and "checkpoint" not in path.parts]
    assert len(paths) > 10 or not trains
    for path in paths:
        if path.name != "timings.jsonl":
            assert path.read_bytes() == (tmp_path / "parts" / path.relative_to(tmp_path / "whole")).read_bytes(), path


def test_clients_recall_the_sketches_that_they_had(federate: FederationMaker, tmp_path: Path) -> None:
    """Their last digits depend on which ones are computed together."""
    changes = {"method": "fedrouter", "rounds": 1, "local_steps": 1, "tasks": "auto", "affinity": "both"}
    federation = federate(**changes)
    go_on(tmp_path / "run", federation)
    had, again = federation.workers.kept_sketches(), federate(**changes)
    assert had and not again.workers.kept_sketches()
    loaded(tmp_path / "run", again)
    for client, own in again.workers.kept_sketches().items():
        assert list(own) == list(had[client])
        assert all((own[position] == had[client][position]).all() for position in own)


def test_a_plan_is_read_for_its_digests_once(
    federate: FederationMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    digests = checkpoints.file_digests
    monkeypatch.setattr(checkpoints, "file_digests", lambda folder: read.append(folder.name) or digests(folder))
    go_on(tmp_path / "run", federate(method="fedavg", rounds=3, local_steps=1, drift_at=2, drift_to="single"))
    assert read == ["000", "001"]


@pytest.fixture
def stopped(federate: FederationMaker, tmp_path: Path) -> tuple[Path, Federation]:
    """A simulation that died in its second round, with three updates of it kept."""
    federation = federate(method="fedavg", rounds=3, local_steps=1)
    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path / "run", federation, after=4 + 3 + 1, every_client=True)
    return tmp_path / "run", federation


def test_a_training_that_failed_is_kept_like_an_update(
    federate: FederationMaker, same: Same, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_fail(monkeypatch, {(1, 1), (0, 2)})

    def made() -> Federation:
        return federate(method="fedavg", clients=3, rounds=2, local_steps=1)

    whole = go_on(tmp_path / "whole", made())
    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path / "run", made(), after=2 + 1)
    with pytest.raises(KeyboardInterrupt):
        go_on(tmp_path / "other", made(), after=2 + 1, every_client=True)
    received = loaded(tmp_path / "other", made()).received
    assert [(type(one).__name__, one.client) for one in received] == [("Failed", 0), ("Update", 1)]
    for name in ("run", "other"):
        check_same(whole, go_on(tmp_path / name, made()), same)
        assert (tmp_path / name / "rounds.jsonl").read_bytes() == (tmp_path / "whole" / "rounds.jsonl").read_bytes()


def loaded(run: Path, federation: Federation, made_of: Any = MADE_OF) -> Outcome:
    outcome = Checkpoint(begun_at(run, federation.config), made_of, dict).load(federation)
    assert outcome is not None
    return outcome


def test_one_state_is_kept_and_what_clients_sent_since(stopped: tuple[Path, Federation]) -> None:
    run, federation = stopped
    assert [path.name for path in states(run / "checkpoint")] == ["round-000001"]
    begun = Begun.load(run)
    assert begun is not None and begun.rounds == 1 and begun.worth_keeping
    outcome = loaded(run, federation)
    assert [record.round for record in outcome.records] == [1]
    assert [update.client for update in outcome.received] == [0, 1, 2, 3]
    assert {update.round for update in outcome.received} == {2}


def test_updates_that_are_not_whole_are_trained_again(stopped: tuple[Path, Federation]) -> None:
    run, federation = stopped
    path = run / "checkpoint" / "received.jsonl"
    text = path.read_text()
    path.write_text(text[:-9])  # it died while it wrote the last line
    assert [update.client for update in loaded(run, federation).received] == [0, 1, 2]
    path.write_text(text)
    weights = run / "updates" / "client_001" / "group_0" / "adapter_model.safetensors"
    other = run / "updates" / "client_002" / "group_0" / "adapter_model.safetensors"
    weights.write_bytes(other.read_bytes())
    assert [update.client for update in loaded(run, federation).received] == [0]
    weights.write_bytes(b"half")
    assert [update.client for update in loaded(run, federation).received] == [0]


@pytest.mark.parametrize("name", [*MADE_OF])
def test_what_it_is_made_of_has_to_be_the_same(stopped: tuple[Path, Federation], name: str) -> None:
    run, federation = stopped
    with pytest.raises(UserError, match=rf"--resume .*run: the {name} has changed since the run was begun"):
        loaded(run, federation, MADE_OF | {name: "other"})


@pytest.mark.parametrize("place", ["round-000001/adapters.safetensors", "plans/000/plan.safetensors"])
def test_a_damaged_state_is_refused_by_name(stopped: tuple[Path, Federation], place: str) -> None:
    run, federation = stopped
    path = run / "checkpoint" / place
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=rf"round-000001: \S*{path.name} is damaged; train the run anew"):
        loaded(run, federation)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"made_of": 3}', "null"])
def test_a_state_that_is_none_is_refused_in_one_line(stopped: tuple[Path, Federation], content: str) -> None:
    run, federation = stopped
    (run / "checkpoint" / "round-000001" / "state.json").write_text(content)
    with pytest.raises(UserError) as caught:
        loaded(run, federation)
    assert "\n" not in str(caught.value)


def test_a_state_without_a_key_is_refused(stopped: tuple[Path, Federation]) -> None:
    run, federation = stopped
    path = run / "checkpoint" / "round-000001" / "state.json"
    record = json.loads(path.read_text())
    for key in ("made_of", "traffic", "stages", "pools", "records", "sha256"):
        path.write_text(json.dumps({name: value for name, value in record.items() if name != key}))
        with pytest.raises(UserError, match=r"train the run anew|has changed"):
            loaded(run, federation)


def test_a_folder_that_has_gone_is_not_made_again(federate: FederationMaker, tmp_path: Path) -> None:
    import shutil

    class Removes(Observer):
        def round_started(self, record: Any) -> None:
            shutil.rmtree(tmp_path / "run")

    federation = federate(method="fedavg", rounds=1, local_steps=1)
    checkpoint = Checkpoint(begun_at(tmp_path / "run", federation.config), MADE_OF, dict)
    with pytest.raises(UserError, match="has gone while the run grew in it"):
        simulate(federation, find_method("fedavg"), Observers(Removes(), checkpoint), keep=checkpoint.keep)
