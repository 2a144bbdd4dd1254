"""A training that was stopped goes on, from its folder alone, and ends with the bytes that it would have had."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import Interrupted, MayPass, UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations import train as train_module
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.export import export
from fedrouter_sim.operations.join import aggregate_folders
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.runs.unfinished import Begun, find_run, tidy

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]
ROUTER = (
    "from fedrouter_sim.routing.centroid import NearestCentroid\n\n\nclass Own(NearestCentroid):\n    name = 'own'\n"
)
SHORT = {"rounds": 2, "local_steps": 1, "test_examples_per_client": 1}
METHOD = "from fedrouter_sim.methods.fedavg import FedAvg\n\n\nclass Own(FedAvg):\n    name = 'own'\n"


class At(Display):
    """Does something at an optimizer step."""

    def __init__(self, step: int, work: Callable[[], Any]) -> None:
        self.left, self._work, self.notes = step, work, list[str]()

    def stepped(self, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            self._work()

    def noted(self, text: str) -> None:
        self.notes.append(text)


class Both(Display):
    """Tells two displays of steps."""

    def __init__(self, *others: Display) -> None:
        self._others = others

    def stepped(self, loss: float) -> None:
        for other in self._others:
            other.stepped(loss)


def stop() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def twice() -> None:
    stop()
    stop()


def full() -> None:
    raise OSError(28, "No space left on device")


def lost() -> None:
    raise MayPass("--workers: a worker was lost")


def fault() -> None:
    raise ZeroDivisionError


@pytest.fixture
def config(micro_config: ConfigMaker) -> RunConfig:
    return micro_config(method="fedavg", **SHORT)


@pytest.fixture(scope="module")
def whole(
    micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory, trained_bytes: BytesOf
) -> dict[str, bytes]:
    """The bytes of a run that nothing stopped."""
    return trained_bytes(
        train(micro_config(method="fedavg", **SHORT), tmp_path_factory.mktemp("runs") / "whole").folder
    )


@pytest.fixture
def stopped(config: RunConfig, tmp_path: Path, backbone: Any) -> Path:
    """Where a run will be that was stopped in its second round: clients 0 and 1 have sent, client 2 has not."""
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", display=At(4 + 3, stop), backbone=backbone)
    return tmp_path / "run"


ENDS: list[tuple[Callable[[], None], type[BaseException]]] = [
    (stop, Interrupted),
    (twice, Interrupted),
    (full, UserError),
    (lost, MayPass),
    (fault, ZeroDivisionError),
]


@pytest.mark.parametrize(("work", "kind"), ENDS)
def test_what_was_trained_is_kept_and_the_message_says_how_to_go_on(
    config: RunConfig,
    tmp_path: Path,
    backbone: Any,
    whole: dict[str, bytes],
    trained_bytes: BytesOf,
    work: Callable[[], None],
    kind: type[BaseException],
) -> None:
    out, display = tmp_path / "run", At(4 + 3, work)
    with pytest.raises(kind) as caught:
        train(config, out, display=display, backbone=backbone)
    said = " ".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert f"1 round and what clients sent since are kept; `fedrouter-sim train --resume {out}` goes on" in said
    assert (display.notes == ["stopping after this step; a second time stops at once"]) == (work in (stop, twice))
    assert [path.name for path in tmp_path.iterdir()] == [".run.partial"]

    counter = At(-1, stop)
    done = train(config, out, display=counter, backbone=backbone, resume=True)
    assert -1 - counter.left == 2  # clients 2 and 3: what the others had sent was kept
    assert [path.name for path in tmp_path.iterdir()] == ["run"] and not (out / "checkpoint").exists()
    assert trained_bytes(done.folder) == whole
    assert done.summary.optimizer_steps == 8 and done.summary.seconds["train"] > 0


def test_before_anything_is_trained_nothing_is_left(config: RunConfig, tmp_path: Path, backbone: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", display=At(1, stop), backbone=backbone)
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_that_was_stopped_is_done_again(
    config: RunConfig, tmp_path: Path, backbone: Any, whole: dict[str, bytes], trained_bytes: BytesOf
) -> None:
    class Stops(Display):
        def advanced(self, units: int) -> None:
            stop()

    with pytest.raises(Interrupted, match="2 rounds are kept"):
        train(config, tmp_path / "run", display=Stops(), backbone=backbone)
    done = train(
        config, tmp_path / "run", display=At(1, lambda: pytest.fail("it trained")), backbone=backbone, resume=True
    )
    assert trained_bytes(done.folder) == whole


def test_it_is_found_by_its_name_and_by_the_folder_in_which_it_grows(stopped: Path, config: RunConfig) -> None:
    for name in (stopped, stopped.with_name(".run.partial")):
        found = find_run(name)
        assert found.out == stopped and found.config == RunConfig.build(vars(config))
    with pytest.raises(UserError, match=r"--resume .*other: there is no run, and none was interrupted"):
        find_run(stopped.with_name("other"))


def test_another_training_there_does_not_lose_it(stopped: Path, config: RunConfig, backbone: Any) -> None:
    with pytest.raises(
        UserError, match=r"--out .*run: an interrupted run is there; .*--resume .*--overwrite begins anew"
    ):
        train(config, stopped, backbone=backbone)
    assert find_run(stopped).begun is not None
    counter = At(-1, stop)
    train(config, stopped, overwrite=True, display=counter, backbone=backbone)
    assert -1 - counter.left == 8
    assert [path.name for path in stopped.parent.iterdir()] == ["run"]


def test_a_training_that_is_refused_does_not_lose_what_it_was_to_replace(
    stopped: Path, micro_config: ConfigMaker, backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"--method nope"):
        train(micro_config(method="nope"), stopped, overwrite=True, backbone=backbone)
    assert [path.name for path in stopped.parent.iterdir()] == [".run.partial"]
    begun = Begun.load(stopped.with_name(".run.partial"))
    assert begun is not None and begun.rounds == 1


def test_once_a_round_is_kept_what_it_replaces_is_gone(stopped: Path, config: RunConfig, backbone: Any) -> None:
    aside = stopped.with_name(".run.aside")
    before = At(1, lambda: aside.is_dir() or pytest.fail("it is gone"))
    with pytest.raises(ZeroDivisionError):
        train(config, stopped, overwrite=True, backbone=backbone, display=Both(before, At(4 + 1, fault)))
    assert [path.name for path in stopped.parent.iterdir()] == [".run.partial"]


def test_nothing_else_is_made_where_a_run_was_interrupted(stopped: Path, finished_run: Path, tmp_path: Path) -> None:
    for make in (aggregate, export):
        with pytest.raises(UserError, match=r"--out .*run: an interrupted run is there; .*--resume"):
            make(finished_run, stopped)
    with pytest.raises(UserError, match=r"--out .*run: an interrupted run is there"):
        aggregate_folders([finished_run], stopped, "tiny-gpt2", 2)
    assert find_run(stopped).begun is not None


def test_what_a_run_was_begun_with_is_checked_like_all_from_a_folder(stopped: Path, tmp_path: Path) -> None:
    building = stopped.with_name(".run.partial")
    path = building / "checkpoint" / "begun.json"
    kept = path.read_text()
    for key in ("settings", "own_sha256", "overwrite"):
        path.write_text(json.dumps(json.loads(kept) | {key: None}))
        with pytest.raises(UserError, match=rf"begun.json: damaged \({key} must be"):
            find_run(stopped)
    path.write_text(kept)
    (building / "updates" / "link").symlink_to(tmp_path)
    with pytest.raises(UserError, match="updates/link: is a link, and none is followed"):
        find_run(stopped)


def test_a_run_with_a_router_of_the_users_own_goes_on(
    micro_config: ConfigMaker, tmp_path: Path, backbone: Any, trained_bytes: BytesOf
) -> None:
    file = tmp_path / "own.py"
    file.write_text(ROUTER, encoding="utf-8")
    config = micro_config(router=f"{file}:Own", **SHORT)
    with pytest.raises(Interrupted):
        train(config, tmp_path / "run", display=At(10, stop), backbone=backbone)
    done = train(config, tmp_path / "run", backbone=backbone, resume=True)
    whole = train(config, tmp_path / "whole", backbone=backbone)
    assert trained_bytes(done.folder) == trained_bytes(whole.folder)


def test_other_settings_are_refused_by_name(stopped: Path, micro_config: ConfigMaker, backbone: Any) -> None:
    with pytest.raises(UserError, match=r"--resume .*: was begun with --lr 0.02, not 0.5; a run goes on with its own"):
        train(micro_config(method="fedavg", lr=0.5, **SHORT), stopped, backbone=backbone, resume=True)
    assert find_run(stopped).begun is not None


def test_other_data_are_refused(
    stopped: Path, config: RunConfig, backbone: Any, micro_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = train_module._prepare

    def other(*given: Any) -> Any:
        job = prepare(*given)
        shares = job.data.shares
        object.__setattr__(job.data, "shares", type(shares)(shares.train[1:], shares.validation, shares.test))
        return job

    monkeypatch.setattr(train_module, "_prepare", other)
    with pytest.raises(UserError, match=r"--resume .*: the data has changed since the run was begun"):
        train(config, stopped, backbone=backbone, resume=True)
    assert find_run(stopped).begun is not None


def test_another_file_of_the_users_own_is_refused_and_not_run(
    micro_config: ConfigMaker, tmp_path: Path, backbone: Any
) -> None:
    file = tmp_path / "own.py"
    file.write_text(METHOD, encoding="utf-8")
    config, out = micro_config(method=f"{file}:Own", **SHORT), tmp_path / "run"
    with pytest.raises(Interrupted):
        train(config, out, display=At(6, stop), backbone=backbone)
    file.write_text("raise SystemExit\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"--method .*own.py:Own: the file is gone or has changed since"):
        train(config, out, backbone=backbone, resume=True)
    file.write_text(METHOD, encoding="utf-8")
    assert train(config, out, backbone=backbone, resume=True).summary.method == "own"


def test_another_format_is_refused(stopped: Path, config: RunConfig, backbone: Any) -> None:
    path = stopped.with_name(".run.partial") / "checkpoint" / "begun.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 7'))
    with pytest.raises(UserError, match=r"--resume .*: its format is 7, and this version goes on with 2"):
        train(config, stopped, backbone=backbone, resume=True)


def test_a_run_that_was_to_replace_another_still_does(run_copy: Path, config: RunConfig, backbone: Any) -> None:
    with pytest.raises(Interrupted):
        train(config, run_copy, overwrite=True, display=At(6, stop), backbone=backbone)
    assert Run(run_copy).config.method == "fedrouter"
    train(config, run_copy, backbone=backbone, resume=True)
    assert Run(run_copy).config.method == "fedavg"
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]


def test_what_a_process_left_that_died_at_the_very_end_is_swept(run_copy: Path) -> None:
    (run_copy / "checkpoint").mkdir()
    old = run_copy.with_name(f".{run_copy.name}.partial")
    (old / "adapters").mkdir(parents=True)  # the run that was replaced
    assert find_run(run_copy).begun is None
    tidy(run_copy)
    assert [path.name for path in run_copy.parent.iterdir()] == [run_copy.name]
    assert not (run_copy / "checkpoint").exists()


def test_what_a_process_left_in_the_middle_of_a_write_is_swept(stopped: Path, config: RunConfig, backbone: Any) -> None:
    building = stopped.with_name(".run.partial")
    for name in (".config.toml.x.tmp", "adapters/.x.json.y.tmp", "checkpoint/round-000002.partial/state.json"):
        (building / name).parent.mkdir(parents=True, exist_ok=True)
        (building / name).touch()
    with (building / "rounds.jsonl").open("a") as file:
        file.write('{"round": 2, "half')
    assert Begun.load(building) is not None
    done = train(config, stopped, backbone=backbone, resume=True)
    assert len(Run(done.folder).rounds()) == 2
    assert [path for path in done.folder.rglob("*") if path.name.startswith(".") or "partial" in path.name] == []


def test_nothing_there_begins_anew(
    config: RunConfig, tmp_path: Path, backbone: Any, whole: dict[str, bytes], trained_bytes: BytesOf
) -> None:
    assert trained_bytes(train(config, tmp_path / "run", backbone=backbone, resume=True).folder) == whole
    with pytest.raises(UserError, match="--checkpoint-every step: choose round or client"):
        train(config, tmp_path / "other", checkpoint_every="step")


def test_a_run_goes_on_in_as_many_threads_as_it_was_begun_in(config: RunConfig, stopped: Path, backbone: Any) -> None:
    before, path = torch.get_num_threads(), stopped.parent / ".run.partial" / "checkpoint" / "begun.json"
    begun = json.loads(path.read_text(encoding="utf-8"))
    assert begun["threads"] == before
    path.write_text(json.dumps(begun | {"threads": before + 1}), encoding="utf-8")
    seen: list[int] = []
    display = At(1, lambda: seen.append(torch.get_num_threads()))
    run = Run(train(config, stopped, display=display, backbone=backbone, resume=True).folder)
    assert (seen, run.manifest["threads"], torch.get_num_threads()) == ([before + 1], before + 1, before)
    assert f"the run was begun in {before + 1} threads, and goes on so" in display.notes


def test_a_run_of_an_older_version_goes_on_in_the_threads_that_there_are(
    config: RunConfig, stopped: Path, backbone: Any
) -> None:
    path = stopped.parent / ".run.partial" / "checkpoint" / "begun.json"
    begun = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({key: value for key, value in begun.items() if key != "threads"}), encoding="utf-8")
    display = At(-1, stop)
    run = Run(train(config, stopped, display=display, backbone=backbone, resume=True).folder)
    assert run.manifest["threads"] == torch.get_num_threads() and not any("threads" in n for n in display.notes)
