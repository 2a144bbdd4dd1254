"""What TensorBoard reads back is what rounds.jsonl and the cells say, and it can be watched while it runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.scores import Cell, CellResult, Scores
from fedrouter_sim.federation.observers import Display, RoundRecord
from fedrouter_sim.operations.train import Trained, train
from fedrouter_sim.runs import tensorboard
from fedrouter_sim.runs.tensorboard import TensorBoard, require_tensorboard

ConfigMaker = Callable[..., RunConfig]


class Watcher(Display):
    """Looks into the folder that TensorBoard is pointed at, after every round, as TensorBoard does."""

    def __init__(self, logdir: Path) -> None:
        self.logdir = logdir
        self.notes: list[str] = []
        self.seen: list[int] = []  # rounds that are readable when the next one begins

    def noted(self, text: str) -> None:
        self.notes.append(text)

    def round_started(self, record: RoundRecord) -> None:
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(self.logdir)).Reload()
        [(run, found)] = multiplexer.Runs().items()
        self.seen.append(len(multiplexer.Scalars(run, "round/lr")) if found["scalars"] else 0)


@pytest.fixture(scope="module")
def watched(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trained, Watcher]:
    place = tmp_path_factory.mktemp("watched")
    watcher = Watcher(place)
    config = micro_config(rounds=3, local_steps=1, eval_every=2, test_examples_per_client=2)
    return train(config, place / "run", display=watcher, tensorboard=True), watcher


def test_every_round_and_every_cell_is_read_back(watched: tuple[Trained, Watcher]) -> None:
    done, _ = watched
    events = EventAccumulator(str(done.folder / "tensorboard")).Reload()
    lines = (done.folder / "rounds.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len(records) == 3

    def series(tag: str) -> list[tuple[int, float]]:
        return [(event.step, event.value) for event in events.Scalars(tag)]

    named = {"round/lr": "lr", "round/steps": "steps", "round/tokens": "tokens", "round/examples": "examples"}
    named |= {"bytes/up": "bytes_up", "bytes/down": "bytes_down"}
    for tag, key in named.items():
        assert series(tag) == [(record["round"], pytest.approx(record[key])) for record in records], tag
    for pool in records[0]["losses"]:
        expected = [(r["round"], pytest.approx(r["losses"][pool])) for r in records if pool in r["losses"]]
        assert series(f"loss/{pool}") == expected
        expected = [(r["round"], pytest.approx(r["gaps"][pool])) for r in records if r["gaps"].get(pool) is not None]
        assert expected and series(f"gap/{pool}") == expected
        assert series(f"lr/{pool}") == [(record["round"], pytest.approx(record["rates"][pool])) for record in records]
    assert series("validation/rouge1") == [(2, pytest.approx(records[1]["validation"]["rouge1"]))]
    assert [step for step, _ in series("seconds/train")] == [1, 2, 3]
    for result in done.results:
        assert series(f"{result.cell.name}/rouge1") == [(3, pytest.approx(result.mean["rouge1"]))]
        assert series(f"{result.cell.name}/rouge1/sum") == [(3, pytest.approx(result.per_task["sum"]["rouge1"]))]
    assert series("all-global/routing_accuracy") == [(3, pytest.approx(done.summary.routing_accuracy))]


def test_of_the_metric_that_is_shown_first_there_are_the_worst_client_and_the_tasks(tmp_path: Path) -> None:
    def scores(loss: float) -> Scores:
        return Scores(2, {"rouge1": 0.5, "exact_match": None, "loss": loss})

    result = CellResult(
        Cell("all", "global"), scores(1.5), 1, {0: scores(1.0), 1: scores(2.0)}, {"sum": scores(1.25)}, None, {}, "", ()
    )
    with TensorBoard(tmp_path / "loss") as board:
        board.scored(result, find_metric("loss"))
    with TensorBoard(tmp_path / "exact") as board:
        board.scored(result, find_metric("exact_match"))
    found = {}
    for name in ("loss", "exact"):
        events = EventAccumulator(str(tmp_path / name)).Reload()
        found[name] = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
    means = {"all-global/rouge1": 0.5, "all-global/loss": 1.5}
    assert found["loss"] == means | {"all-global/loss_worst_client": 2.0, "all-global/loss/sum": 1.25}
    assert found["exact"] == means  # nothing of what there is not


def test_it_can_be_watched_while_it_runs(watched: tuple[Trained, Watcher]) -> None:
    done, watcher = watched
    assert watcher.seen == [0, 1, 2]
    assert watcher.notes == [f"TensorBoard can follow the run: tensorboard --logdir {watcher.logdir}"]
    assert [path.name for path in watcher.logdir.iterdir()] == [done.folder.name]


def test_the_stream_changes_nothing_else(
    watched: tuple[Trained, Watcher],
    tmp_path: Path,
    trained_bytes: Callable[[Path], dict[str, bytes]],
) -> None:
    plain = train(watched[0].config, tmp_path / "plain")
    assert trained_bytes(plain.folder) == trained_bytes(watched[0].folder)
    assert not (plain.folder / "tensorboard").exists()


def test_without_the_package_it_is_refused_before_any_work(
    micro_config: ConfigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_tensorboard()
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--tensorboard: .*pip install 'fedrouter-sim\[tensorboard\]'"):
        train(micro_config(data="nowhere"), tmp_path / "run", tensorboard=True)
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_refused_leaves_no_stream(
    micro_config: ConfigMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise UserError("no")

    monkeypatch.setattr(TensorBoard, "round_ended", fail)
    with pytest.raises(UserError):
        train(micro_config(rounds=1, local_steps=1), tmp_path / "run", tensorboard=True)
    assert not list(tmp_path.iterdir())


def test_a_run_that_goes_on_streams_each_round_once(micro_config: ConfigMaker, tmp_path: Path) -> None:
    class Stops(Display):
        def round_ended(self, record: RoundRecord, adapters: object) -> None:
            if record.round == 2:
                raise KeyboardInterrupt

    config = micro_config(method="fedavg", rounds=2, local_steps=1, test_examples_per_client=1)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", display=Stops(), tensorboard=True)
    train(config, tmp_path / "run", resume=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("round/lr")] == [1, 2]
