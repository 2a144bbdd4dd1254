"""The run folder: what is written comes back, and what is damaged is refused by name."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import Deployment, Plan, Pool
from fedrouter_sim.runs.run_folder import Run, RunWriter, peak_memory_bytes
from fedrouter_sim.simulation import RoundRecord

Same = Callable[[Adapter, Adapter], bool]
PEFT = {"peft_type": "LORA", "r": 2}


def adapter(value: float) -> Adapter:
    return {"x.lora_A.weight": torch.full((2, 3), value), "x.lora_B.weight": torch.zeros(4, 2)}


def update(client: int, group: int, round_: int = 1, value: float = 1.0, examples: int = 5) -> Update:
    return Update(client, group, "global", round_, examples, (), adapter(value), loss=0.5, steps=2, tokens=30)


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    """A writer of a run of a method without router."""
    return RunWriter(tmp_path, RunConfig(method="fedavg"), PEFT)


def finish(writer: RunWriter) -> None:
    writer.write_model({"global": adapter(7.0)}, Deployment((Pool("global", 9, "sum"),)), 12)
    writer.write_summary({"rouge1": 0.5}, {"seed": 42, "data_sha256": "d", "backbone_sha256": "b"})


def test_what_is_written_comes_back(writer: RunWriter, tmp_path: Path, same: Same) -> None:
    writer.received(update(0, 0))
    writer.write_truth(None)
    finish(writer)
    run = Run(tmp_path)
    assert run.config == RunConfig(method="fedavg")
    assert run.pools == (Pool("global", 9, "sum"),)
    assert run.longest_answer == 12
    assert (run.router, run.truth) == (None, None)
    assert same(run.adapter("global"), adapter(7.0))
    assert run.peft_config == PEFT
    assert run.summary == {"rouge1": 0.5}
    assert run.clustering_seed == 42
    assert not (tmp_path / "truth.json").exists()
    assert not list(tmp_path.rglob("centroids.safetensors"))


def test_the_last_update_of_a_group_stays(writer: RunWriter, tmp_path: Path) -> None:
    for round_ in (1, 2, 3):
        writer.received(update(0, 1, round_, value=float(round_), examples=5))
    finish(writer)
    [stored] = Run(tmp_path).updates()
    assert (stored.client, stored.group, stored.round, stored.examples) == (0, 1, 3, 5)
    record = json.loads((stored.folder / "update.json").read_text(encoding="utf-8"))
    assert set(record) == {"client", "group", "round", "examples", "clusters", "loss", "steps", "tokens"}


def test_updates_come_in_client_and_group_order(writer: RunWriter, tmp_path: Path) -> None:
    places = [(1000, 0), (2, 10), (2, 9), (999, 3), (10, 0)]
    for client, group in places:
        writer.received(update(client, group))
    finish(writer)
    assert [(stored.client, stored.group) for stored in Run(tmp_path).updates()] == sorted(places)


def test_rounds_are_appended_and_seconds_kept_apart(writer: RunWriter, tmp_path: Path) -> None:
    for number in (1, 2):
        record = RoundRecord(number, 0.1, [0, 2], losses={"global": 1.5}, seconds={"train": 0.25})
        writer.round_ended(record, {})
    rounds, timings = (
        [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
        for name in ("rounds.jsonl", "timings.jsonl")
    )
    assert [record["round"] for record in rounds] == [1, 2]
    assert set(rounds[0]) == {field.name for field in dataclasses.fields(RoundRecord)} - {"seconds"}
    assert timings == [{"round": 1, "seconds": {"train": 0.25}}, {"round": 2, "seconds": {"train": 0.25}}]


def test_local_centroids_lie_beside_each_update(finished_run: Path) -> None:
    run = Run(finished_run)
    assert run.router is not None
    seen: dict[int, set[int]] = {}
    for stored in run.updates():
        tensors = load_file(stored.folder / "centroids.safetensors")
        message = run.router.clients[stored.client]
        np.testing.assert_array_equal(tensors["centroids"], message.centroids[list(stored.clusters)])
        np.testing.assert_array_equal(tensors["sizes"], message.sizes[list(stored.clusters)])
        assert tensors["sizes"].sum() == stored.examples
        seen.setdefault(stored.client, set()).update(stored.clusters)
    assert seen == {client: {0, 1} for client in range(4)}


def test_no_weight_is_pickled_and_every_json_is_json(finished_run: Path) -> None:
    suffixes = {path.suffix for path in finished_run.rglob("*") if path.is_file()}
    assert suffixes == {".toml", ".json", ".jsonl", ".safetensors"}
    for path in finished_run.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_clustering_seed_of_an_aggregated_run(finished_run: Path) -> None:
    run = Run(finished_run)
    assert run.clustering_seed == run.config.seed
    run.manifest["clustering_seed"] = 9
    assert run.clustering_seed == 9


def test_planned_router_is_remembered(writer: RunWriter, tmp_path: Path) -> None:
    asked: list[tuple[int, tuple[int, ...]]] = []

    def local_clusters(client: int, clusters: tuple[int, ...]) -> tuple[Any, Any]:
        asked.append((client, clusters))
        return np.zeros((1, 2), dtype=np.float32), np.array([3])

    router: Any = SimpleNamespace(
        local_clusters=local_clusters,
        answer_tokens_of=lambda client, clusters: np.array([7]),
        normalizer=SimpleNamespace(kind="l2"),
    )
    writer.planned(Plan(router=router), 2, 8)
    writer.received(dataclasses.replace(update(3, 0), clusters=(1,)))
    assert asked == [(3, (1,))]
    folder = tmp_path / "updates" / "client_003" / "group_0"
    assert (folder / "centroids.safetensors").is_file()
    record = json.loads((folder / "update.json").read_text(encoding="utf-8"))
    assert (record["normalize"], record["answer_tokens"]) == ("l2", [7])


def test_what_a_method_keeps_comes_back(writer: RunWriter, tmp_path: Path) -> None:
    kept = {"b": np.array([3]), "a": np.arange(6, dtype=np.float32).reshape(2, 3).T}
    writer.write_model({"global": adapter(7.0)}, Deployment((Pool("global", 9),), kept=kept), 12)
    writer.write_summary({}, {"seed": 42})
    found = Run(tmp_path).deployment
    assert (found.pools, found.router) == ((Pool("global", 9),), None)
    assert found.kept.keys() == kept.keys()
    assert all(np.array_equal(found.kept[name], kept[name]) for name in kept)
    (tmp_path / "kept.safetensors").write_bytes(b"garbage")
    with pytest.raises(UserError, match=r"kept\.safetensors: damaged .*; train the run anew"):
        _ = Run(tmp_path).deployment


def test_pools_come_back_with_all_that_they_are(writer: RunWriter, tmp_path: Path) -> None:
    pools = (Pool("global", 9), Pool("client_000", 4, "sum", private=True, parent="global"))
    writer.write_model({pool.name: adapter(1.0) for pool in pools}, Deployment(pools), 12)
    writer.write_summary({}, {"seed": 42})
    assert Run(tmp_path).pools == pools
    assert not (tmp_path / "kept.safetensors").exists()


def test_peak_memory_is_in_bytes() -> None:
    assert 10_000_000 < peak_memory_bytes() < 100_000_000_000


def test_peak_memory_is_not_the_parents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t 999999 kB\nVmHWM:\t   20480 kB\n")
    monkeypatch.setattr("fedrouter_sim.runs.run_folder._STATUS", status)
    assert peak_memory_bytes() == 20480 * 1024
    status.unlink()  # elsewhere than on Linux
    assert peak_memory_bytes() > 10_000_000


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
        ("manifest.json", '{"format": 99}', "run format 99 is not 1"),
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


def test_damaged_update_record_is_refused(run_copy: Path) -> None:
    path = run_copy / "updates" / "client_000" / "group_0" / "update.json"
    for change in ({"examples": None}, {"clusters": 3}, {"round": "soon"}):
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(record | change), encoding="utf-8")
        with pytest.raises(UserError, match=r"update\.json: damaged"):
            list(Run(run_copy).updates())
        path.write_text(json.dumps(record), encoding="utf-8")


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
