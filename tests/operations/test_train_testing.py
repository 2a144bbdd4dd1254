"""What `train` tests a run on, and by which metric: drift, a held-out task, the validation share, odd data."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.evaluate import evaluate
from fedrouter_sim.operations.train import Trained, train
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]
SHORT = {"rounds": 1, "local_steps": 2}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def drifting(config: RunConfig, out: Path, backbone: Any, **changes: Any) -> Trained:
    return train(dataclasses.replace(config, **changes), out, False, Display(), backbone)


@pytest.mark.parametrize("method", ["fedrouter", "clustered"])
def test_a_drift_leaves_the_rounds_before_it_and_the_router(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path, method: str
) -> None:
    config = micro_config(method=method, rounds=3, local_steps=3, warmup_rounds=1, tasks=3)
    plain = drifting(config, tmp_path / "plain", backbone)
    drifted = drifting(config, tmp_path / "drifted", backbone, drift_at=3, drift_to="single")
    before, after = ((done.folder / "rounds.jsonl").read_bytes().splitlines() for done in (plain, drifted))
    assert [one == two for one, two in zip(before, after, strict=True)] == [True, True, False]
    for name in ("router.json", "router.safetensors", "clients.safetensors"):
        assert (plain.folder / name).exists() == (method == "fedrouter")
        if method == "fedrouter":
            assert (drifted.folder / name).read_bytes() == (plain.folder / name).read_bytes()
    cells = {result.cell.name: result for result in drifted.results}
    own = [name for name in cells if name.startswith("drift-")]
    assert own == (["drift-global", "drift-local"] if method == "fedrouter" else ["drift-fixed"])
    for client in range(4):
        assert len({answer.task for answer in cells[own[0]].answers if answer.client == client}) == 1
    assert set(drifted.summary.scores) == set(cells)
    truth = Run(drifted.folder).truth
    assert truth is not None
    # What the final pools were trained on: all 80 rows before the drift and 80 after it.
    assert sum(sum(counts.values()) for counts in truth.pools.values()) == 160
    again = {result.cell.name: result.mean for result in evaluate(Run(drifted.folder), Display()).results}
    assert again == {name: result.mean for name, result in cells.items()}


@pytest.mark.parametrize("method", ["fedrouter", "feddpa"])
def test_a_drift_after_the_last_round_changes_the_test_data_alone(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path, trained_bytes: BytesOf, method: str
) -> None:
    config = micro_config(method=method, local_steps=3)
    plain = drifting(config, tmp_path / "plain", backbone)
    drifted = drifting(config, tmp_path / "drifted", backbone, drift_at=3, drift_to="single")
    assert trained_bytes(drifted.folder) == trained_bytes(plain.folder)
    more = set(drifted.summary.scores) - set(plain.summary.scores)
    assert more == ({"drift-global", "drift-local"} if method == "fedrouter" else {"drift-fixed"})
    assert {name: drifted.summary.scores[name] for name in plain.summary.scores} == plain.summary.scores


def test_a_held_out_task_is_scored_in_a_cell_of_its_own(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path
) -> None:
    config = micro_config(hold_out="sum", tasks=3, rounds=1)
    done = drifting(config, tmp_path / "run", backbone)
    by_cell = {result.cell.name: result for result in done.results}
    assert [name for name in by_cell if name.startswith("held-out")] == ["held-out-global", "held-out-local"]
    for name, result in by_cell.items():
        held = name.startswith("held-out")
        assert ({answer.task for answer in result.answers} == {"sum"}) == held
        assert held or "sum" not in result.per_task
    assert by_cell["held-out-global"].mean.samples == 6
    assert by_cell["held-out-global"].routing_accuracy is None  # no adapter was trained on it
    truth = Run(done.folder).truth
    assert truth is not None
    assert not any("sum" in counts for counts in truth.pools.values())


def test_validation_curve(micro_config: ConfigMaker, tmp_path: Path, trained_bytes: BytesOf) -> None:
    done = train(micro_config(eval_every=2, rounds=3), tmp_path / "curve", False, Display())
    found = [record["validation"] for record in lines(done.folder / "rounds.jsonl")]
    assert [value is None for value in found] == [True, False, True]
    assert {"rouge1", "loss", "rouge1/sum", "rouge1/title"} <= set(found[1])
    silent = train(micro_config(rounds=3), tmp_path / "silent", False, Display()).folder
    one, two = trained_bytes(done.folder), trained_bytes(silent)
    assert all(one[name] == two[name] for name in one if name != "rounds.jsonl")  # looking changes nothing


def test_the_validation_curve_follows_the_plan(micro_config: ConfigMaker, backbone: Any, tmp_path: Path) -> None:
    for method, rounds in (("clustered", 2), ("feddpa", 4)):
        config = micro_config(method=method, eval_every=1, warmup_rounds=1, local_steps=2)
        records = lines(drifting(config, tmp_path / method, backbone).folder / "rounds.jsonl")
        assert len(records) == rounds
        assert all(record["validation"]["rouge1"] >= 0 for record in records)


def test_the_validation_curve_does_not_look_at_test_rows(
    micro_config: ConfigMaker, micro_data: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(micro_data, tmp_path / "data"))
    rows = [row | {"response": "changed"} for row in lines(data / "test.jsonl")]
    (data / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    curves = [
        lines(train(micro_config(eval_every=1, data=str(d)), tmp_path / n, False, Display()).folder / "rounds.jsonl")
        for n, d in (("one", micro_data), ("two", data))
    ]
    assert curves[0] == curves[1]
    (data / "validation.jsonl").unlink()
    with pytest.raises(UserError, match="--eval-every 1: the data has no validation share"):
        train(micro_config(eval_every=1, data=str(data)), tmp_path / "three", False, Display())


@pytest.mark.parametrize("normalize", ["none", "l2", "standardize"])
def test_more_clients_than_test_rows(
    micro_config: ConfigMaker, micro_data: Path, tmp_path: Path, normalize: str
) -> None:
    data = Path(shutil.copytree(micro_data, tmp_path / "data"))
    few = (data / "test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[:3]
    (data / "test.jsonl").write_text("".join(few), encoding="utf-8")
    done = train(micro_config(data=str(data), normalize=normalize, rounds=1), tmp_path / "run", False, Display())
    [main] = [result for result in done.results if result.cell.name == "all-global"]
    assert list(main.per_client) == [0, 1, 2]


def test_unlabelled_data(micro_config: ConfigMaker, micro_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in micro_data.iterdir():
        rows = [{key: row[key] for key in ("instruction", "response")} for row in lines(path)]
        (data / path.name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = train(micro_config(data=str(data), split="all", rounds=1), tmp_path / "run", False, Display())
    for key in ("routing_accuracy", "ari_local", "ari_global"):
        assert getattr(done.summary, key) is None
    assert done.summary.score is not None and not any(done.summary.task_scores.values())
    assert Run(done.folder).truth is None


@pytest.mark.parametrize("metric", ["exact_match", "loss"])
def test_the_metric_of_the_settings_stands_first_and_changes_no_byte_of_training(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path, trained_bytes: BytesOf, metric: str
) -> None:
    plain = drifting(micro_config(**SHORT), tmp_path / "plain", backbone)
    done = drifting(micro_config(**SHORT, metric=metric), tmp_path / "run", backbone)
    assert trained_bytes(done.folder) == trained_bytes(plain.folder)
    assert (done.summary.metric, done.summary.cell) == (metric, "all-global")
    assert done.summary.scores == plain.summary.scores
    [main] = [result for result in done.results if result.cell.name == "all-global"]
    assert done.summary.score == main.mean[metric] != plain.summary.score
    own = {client: scores[metric] for client, scores in main.per_client.items() if scores[metric] is not None}
    worst = (max if metric == "loss" else min)(own.values()) if own else None
    assert main.per_client[main.worst_client][metric] == worst
    assert Run(done.folder).metric.name == metric


def test_the_validation_curve_shows_the_metric_of_the_settings(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path
) -> None:
    config = micro_config(**SHORT, eval_every=1, metric="loss")
    [record] = lines(drifting(config, tmp_path / "run", backbone).folder / "rounds.jsonl")
    assert set(record["validation"]) == {"loss", "loss/opinion", "loss/reverse", "loss/sum", "loss/title"}


OWN = """
import numpy as np

from fedrouter_sim import Metric, Routes, RoutingRule


class Shorter(Metric):
    name, title, higher_is_better = "too_long", "words too many", False

    def __init__(self, free: int = 0):
        self.free = free

    def measure(self, sample):
        return max(0.0, len(sample.answer.split()) - len(sample.reference.split()) - self.free)


class Even(RoutingRule):
    name = "even"

    def __init__(self, best: float = 0.5):
        self.best = best

    def route(self, points, landmarks):
        centroids = landmarks.centroids
        distances = np.linalg.norm(points[:, None] - centroids[None], axis=2)
        weights = np.full(distances.shape, (1 - self.best) / max(1, len(centroids) - 1))
        task = distances.argmin(1)
        weights[np.arange(len(points)), task] = self.best if len(centroids) > 1 else 1.0
        ordered = np.sort(distances, axis=1)
        margin = ordered[:, 1] - ordered[:, 0] if len(centroids) > 1 else np.full(len(points), np.inf)
        return Routes(task, ordered[:, 0], margin, weights)
"""


def test_a_metric_and_a_router_of_the_users_get_their_options_and_are_known_to_the_run(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(OWN, encoding="utf-8")
    options = ("free=1", "best=0.7")
    config = micro_config(**SHORT, metric=f"{file}:Shorter", router=f"{file}:Even", option=options)
    done = drifting(config, tmp_path / "run", backbone)
    assert done.summary.metric == "too_long"
    cells = {result.cell.name: result for result in done.results}
    for answer in cells["all-global"].answers:
        words = len(answer.sample.answer.split()) - len(answer.sample.reference.split()) - 1
        assert answer.scores["too_long"] == max(0, words)
        assert sorted(answer.weights.values()) == pytest.approx([0.1, 0.1, 0.1, 0.7])
        assert answer.weights[answer.pool or ""] == 0.7
    for answer in cells["all-local"].answers:  # of the tasks of the client's own clusters alone
        assert not answer.weights or sorted(answer.weights.values()) == pytest.approx([0.3, 0.7])
    run = Run(done.folder)
    assert set(run.manifest["own_sha256"]) == {"metric", "router"}
    assert run.router is not None
    assert (run.router.rule, run.router.options) == (f"{file}:Even", options)
    again = {result.cell.name: result for result in evaluate(run, Display()).results}
    assert {name: result.mean for name, result in again.items()} == {name: cells[name].mean for name in again}
    with pytest.raises(UserError, match=r"--option free=few: must be of type int"):
        drifting(config, tmp_path / "other", backbone, option=("free=few",))
    assert not (tmp_path / "other").exists()


STRICT = """
from fedrouter_sim import FedRouter
from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.evaluation.metrics.rouge import Rouge1
from fedrouter_sim.partition.splits.all import All
from fedrouter_sim.routing.centroid import NearestCentroid


class OwnMethod(FedRouter):
    name = "own method"

    def __init__(self, few: int = 1):
        pass


class OwnSplit(All):
    name = "own split"

    def __init__(self, few: int = 1):
        pass


class OwnRule(WeightedMean):
    name = "own rule"

    def __init__(self, rank: int, few: int = 1):
        super().__init__(rank)


class OwnRouter(NearestCentroid):
    name = "own router"

    def __init__(self, few: int = 1):
        pass


class OwnMetric(Rouge1):
    name = "own_metric"

    def __init__(self, few: int = 1):
        pass
"""


@pytest.mark.parametrize(
    ("setting", "entry"),
    [
        ("method", "OwnMethod"), ("split", "OwnSplit"), ("aggregation", "OwnRule"), ("router", "OwnRouter"),
        ("metric", "OwnMetric"),
    ],
)  # fmt: skip
def test_an_option_of_the_wrong_type_is_refused_before_the_first_round(
    micro_config: ConfigMaker, backbone: Any, tmp_path: Path, setting: str, entry: str
) -> None:
    class Listening(Display):
        def round_started(self, record: Any) -> None:
            pytest.fail("a round has begun")

    (tmp_path / "mine.py").write_text(STRICT, encoding="utf-8")
    settings = {**SHORT, setting: f"{tmp_path / 'mine.py'}:{entry}", "option": ("few=many",)}
    with pytest.raises(UserError, match=r"--option few=many: must be of type int"):
        train(micro_config(**settings), tmp_path / "run", False, Listening(), backbone)
    assert not (tmp_path / "run").exists()
