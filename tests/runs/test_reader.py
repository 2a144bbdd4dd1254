"""Reading a run folder: what was written comes back, older forms too, and what is damaged is refused by name."""

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_folders import PEFT, SUMMARY, adapter, finish, make_first_format, read, update, write

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.federation.plan import Deployment, Pool
from fedrouter_sim.runs.reader import Run, open_run
from fedrouter_sim.runs.writer import RunWriter

Same = Callable[[Adapter, Adapter], bool]


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    """A writer of a run of a method without router."""
    return RunWriter(tmp_path, RunConfig(method="fedavg"), PEFT)


def test_what_is_written_comes_back(writer: RunWriter, tmp_path: Path, same: Same) -> None:
    writer.received(update(0, 0))
    writer.write_truth(None, LabelTasks())
    finish(writer)
    run = Run(tmp_path)
    assert run.config == RunConfig(method="fedavg")
    assert run.pools == (Pool("global", 9, "sum"),)
    assert run.longest_answer == 12
    assert (run.router, run.archive, run.truth) == (None, None, None)
    assert same(run.adapter("global"), adapter(7.0))
    assert run.peft_config == PEFT
    assert run.summary == SUMMARY
    assert run.clustering_seed == 42
    assert not (tmp_path / "truth.json").exists()
    assert not list(tmp_path.rglob("centroids.safetensors"))


def test_clustering_seed_of_an_aggregated_run(finished_run: Path) -> None:
    run = Run(finished_run)
    assert run.clustering_seed == run.config.seed
    run.manifest["clustering_seed"] = 9
    assert run.clustering_seed == 9


def test_what_a_method_keeps_comes_back(writer: RunWriter, tmp_path: Path) -> None:
    kept = {"b": np.array([3]), "a": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    writer.write_model({"global": adapter(7.0)}, Deployment((Pool("global", 9),), state=kept), 12)
    writer.write_summary(SUMMARY, {"seed": 42})
    found = Run(tmp_path).deployment
    assert (found.pools, found.router, found.archive) == ((Pool("global", 9),), None, None)
    assert found.state.keys() == kept.keys()
    assert all(np.array_equal(found.state[name], kept[name]) for name in kept)
    (tmp_path / "kept.safetensors").write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"kept\.safetensors: damaged .*; train the run anew"):
        _ = Run(tmp_path).deployment


def test_pools_come_back_with_all_that_they_are(writer: RunWriter, tmp_path: Path) -> None:
    pools = (Pool("global", 9), Pool("client_000", 4, "sum", private=True, parent="global"))
    writer.write_model({pool.name: adapter(1.0) for pool in pools}, Deployment(pools), 12)
    writer.write_summary(SUMMARY, {"seed": 42})
    assert Run(tmp_path).pools == pools
    assert not (tmp_path / "kept.safetensors").exists()


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such run folder; .*train --out"):
        Run(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"manifest\.json: not readable .* is .* a run folder"):
        Run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("manifest.json", "{", "not readable"),
        ("manifest.json", "[]", "not a JSON object"),
        ("manifest.json", '{"format": 99}', "run format 99 is not 2"),
        ("config.toml", "method = ", "not TOML"),
        ("config.toml", "speed = 9", "'speed' is not a setting"),
    ],
)
def test_damaged_run_is_refused_on_opening(run_copy: Path, name: str, text: str, message: str) -> None:
    (run_copy / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message) as caught:
        Run(run_copy)
    assert str(run_copy) in str(caught.value)
    assert "\n" not in str(caught.value)


READERS: dict[str, Callable[[Run], Any]] = {
    "pools.json": lambda run: run.pools,
    "summary.json": lambda run: run.summary,
    "truth.json": lambda run: run.truth,
    "router.json": lambda run: run.router,
    "clients.safetensors": lambda run: run.archive,
    "eval/all-global.json": lambda run: run.cells(),
    "adapters/task_0/adapter_model.safetensors": lambda run: run.adapter("task_0"),
    "adapters/task_0/adapter_config.json": lambda run: run.peft_config,
    "updates/client_000/group_0/update.json": lambda run: list(run.updates()),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("text", ["", "{", "garbage"])
def test_damaged_part_is_refused_when_read(run_copy: Path, name: str, text: str) -> None:
    run = Run(run_copy)
    (run_copy / name).write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        READERS[name](run)
    assert str(run_copy) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "garbage", "[1]", "{}", '{"round": 1}', "\n"])
def test_damaged_rounds_are_refused_when_read(run_copy: Path, text: str) -> None:
    (run_copy / "rounds.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"rounds\.jsonl: damaged .*; train the run anew$"):
        Run(run_copy).rounds()


def test_pools_without_their_keys_are_refused(run_copy: Path) -> None:
    for text in ("{}", '{"pools": [{}], "longest_answer": 1}', '{"pools": 3}'):
        (run_copy / "pools.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"pools\.json: damaged"):
            _ = Run(run_copy).pools


def test_a_run_can_be_moved(finished_run: Path, tmp_path: Path, same: Same) -> None:
    moved = Path(shutil.copytree(finished_run, tmp_path / "elsewhere" / "run"))
    one, two = Run(finished_run), Run(moved)
    assert one.pools == two.pools
    assert same(one.adapter("task_0"), two.adapter("task_0"))
    assert not any(str(finished_run).encode() in path.read_bytes() for path in moved.rglob("*") if path.is_file())


def test_a_run_is_opened_once(finished_run: Path) -> None:
    run = Run(finished_run)
    assert open_run(run) is run
    assert open_run(str(finished_run)).folder == open_run(finished_run).folder == finished_run


def test_rounds_are_those_that_were_written_and_none_without_training(writer: RunWriter, finished_run: Path) -> None:
    assert [record["round"] for record in Run(finished_run).rounds()] == [1, 2]
    assert all(set(record["losses"]) <= {f"task_{n}" for n in range(4)} for record in Run(finished_run).rounds())
    finish(writer)
    assert Run(writer._folder).rounds() == Run(writer._folder).cells() == []


def test_a_run_answers_by_its_own_backbone_method_and_adapters(finished_run: Path, same: Same) -> None:
    run = Run(finished_run)
    backbone = run.open_backbone()
    assert backbone.digest == run.manifest["backbone_sha256"]
    given: list[str] = []

    def adapters(pool: str) -> Adapter:
        given.append(pool)
        return run.adapter(pool)

    answerer = run.answerer(backbone, adapters)
    assert (answerer.backbone, answerer.method, answerer.deployment) == (backbone, run.method, run.deployment)
    [batch] = answerer.answer([(("task_2", 1.0),)], ["1 + 1 = ?"])
    assert given == ["task_2"] and same(batch.adapter, run.adapter("task_2"))  # type: ignore[arg-type]
    [alike] = run.answerer(backbone).answer([(("task_2", 1.0),)], ["1 + 1 = ?"])
    assert alike.generated.answers == batch.generated.answers


def test_a_changed_backbone_is_refused(run_copy: Path) -> None:
    manifest = read(run_copy / "manifest.json")
    write(run_copy / "manifest.json", manifest | {"backbone_sha256": "0"})
    with pytest.raises(UserError, match=r"--model .*: has changed since .* was trained on it, or is another; .*"):
        Run(run_copy).open_backbone()


def test_a_client_is_given_by_its_number_or_by_its_name(run_copy: Path) -> None:
    assert Run(run_copy).client_names == {} and Run(run_copy).client_number("3") == 3
    manifest = read(run_copy / "manifest.json")
    write(run_copy / "manifest.json", manifest | {"data_clients": ["anna", "3", "0", "77"]})
    run = Run(run_copy)
    assert run.client_names == {0: "anna", 1: "3", 2: "0", 3: "77"}
    assert [run.client_number(client) for client in ("anna", 0, "0", "3", 3, "77")] == [0, 0, 0, 3, 3, 3]
    with pytest.raises(UserError, match=rf"^--client ben: {run_copy} has clients 0 to 3, named anna, 3, 0, ...$"):
        run.client_number("ben")


def test_a_backbone_that_has_moved_is_named_and_checked(run_copy: Path, micro_model: Path, tmp_path: Path) -> None:
    config = (run_copy / "config.toml").read_text(encoding="utf-8")
    (run_copy / "config.toml").write_text(config.replace(str(micro_model), "/old/m"), encoding="utf-8")
    said = rf"^/old/m: the backbone of {run_copy} is not there; say where it is with --model PATH$"
    for used in (lambda run: run.open_backbone(), lambda run: run.model_folder()):
        with pytest.raises(UserError, match=said):
            used(Run(run_copy))
        with pytest.raises(UserError, match=r"--model tiny-gpt2: has changed since .*, or is another; name the one"):
            used(Run(run_copy, model="tiny-gpt2"))
    moved = Path(shutil.copytree(micro_model, tmp_path / "elsewhere"))
    run = Run(run_copy, model=moved)
    assert run.model_folder() == moved and run.open_backbone().digest == run.manifest["backbone_sha256"]
    assert Run(run_copy).config.model == "/old/m"


OWN = """
from fedrouter_sim import Metric
from fedrouter_sim.methods.fedavg import FedAvg


class OwnMethod(FedAvg):
    name = "own"

    def __init__(self, few: int = 1):
        self.few = few


class OwnMetric(Metric):
    name, title = "own_metric", "own"

    def measure(self, sample):
        return 1.0
"""


@pytest.fixture
def own_run(tmp_path: Path) -> tuple[Path, Path]:
    """A run of a method and a metric of the user's, and their file."""
    file, folder = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(OWN, encoding="utf-8")
    folder.mkdir()
    config = RunConfig(method=f"{file}:OwnMethod", metric=f"{file}:OwnMetric", option=("few=3",))
    writer = RunWriter(folder, config, PEFT)
    writer.write_model({"global": adapter(7.0)}, Deployment((Pool("global", 9),)), 12)
    digest = hashlib.sha256(OWN.encode()).hexdigest()
    writer.write_summary(SUMMARY, {"seed": 42, "own_sha256": {"method": digest, "metric": digest}})
    return folder, file


@pytest.mark.parametrize("form", [1, 2])
def test_own_entries_are_used_only_as_long_as_their_file_is_the_same(own_run: tuple[Path, Path], form: int) -> None:
    folder, file = own_run
    if form == 1:  # which had methods of one's own alone
        config = (folder / "config.toml").read_text(encoding="utf-8").replace(f"{file}:OwnMetric", "rouge1")
        (folder / "config.toml").write_text(config, encoding="utf-8")
        make_first_format(folder)
    untrusted = Run(folder)
    for name in ("method", "metric")[: 1 if form == 1 else 2]:
        with pytest.raises(UserError, match="names this file of code, which is not run on the folder's word"):
            getattr(untrusted, name)
    run: Any = Run(folder, trust_code=True)
    assert run.method.name == "own" and run.method.few == (1 if form == 1 else 3)
    assert run.metric.name == ("rouge1" if form == 1 else "own_metric")
    for change in (lambda: file.write_text(OWN + "# changed", encoding="utf-8"), file.unlink):
        change()
        with pytest.raises(UserError, match=r"--method .*OwnMethod: the file is gone or has changed since") as caught:
            _ = Run(folder).method
        assert "\n" not in str(caught.value)
        if form == 2:
            with pytest.raises(UserError, match="the file is gone or has changed"):
                _ = Run(folder).metric


def test_a_folder_of_the_first_format_is_the_same_run(finished_run: Path, run_copy: Path) -> None:
    make_first_format(run_copy)
    assert not (run_copy / "clients.safetensors").exists()
    old, new = Run(run_copy), Run(finished_run)
    assert old.config == replace(new.config, sharing="none", lr_scaling="none")  # both came later, as the rules did
    assert old.pools == new.pools and old.truth == new.truth
    assert (old.method.name, old.metric.name, old.clustering_seed) == ("fedrouter", "rouge1", 1)
    assert old.rounds() == new.rounds() and old.cells() == new.cells()
    summary, expected = old.summary, new.summary
    assert (summary.cell, summary.score, summary.metric) == (expected.cell, expected.score, "rouge1")
    assert list(summary.scores) == list(expected.scores)
    for cell in expected.scores:
        assert summary.score_in(cell) == expected.score_in(cell)
    for one in (expected.cell, expected.bare_cell):
        assert summary.task_scores_in(one) == expected.task_scores_in(one)
    assert old.router is not None and new.router is not None and old.archive is not None and new.archive is not None
    np.testing.assert_array_equal(old.router.centroids, new.router.centroids)
    points = np.random.default_rng(0).normal(size=(20, 32)).astype(np.float32)
    assert old.router.route(points).task.tolist() == new.router.route(points).task.tolist()
    assert old.archive.assignment == new.archive.assignment
    for before, after in zip(old.archive.clients, new.archive.clients, strict=True):
        np.testing.assert_array_equal(before.centroids, after.centroids)
        np.testing.assert_array_equal(before.sizes, after.sizes)
        assert before.client == after.client


def test_a_folder_of_the_first_format_without_a_router_has_no_archive(writer: RunWriter, tmp_path: Path) -> None:
    finish(writer)
    manifest = read(tmp_path / "manifest.json")
    write(tmp_path / "manifest.json", manifest | {"own_sha256": {}})
    run = Run(make_first_format(tmp_path))
    assert (run.deployment.router, run.deployment.archive, run.method.name) == (None, None, "fedavg")
