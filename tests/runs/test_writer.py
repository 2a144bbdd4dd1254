"""Writing a run folder while the simulation runs."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from run_folders import PEFT, SUMMARY, adapter, finish, read, update
from safetensors.numpy import load_file

from fedrouter_sim.config import RunConfig
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.federation.door import Refusal
from fedrouter_sim.federation.observers import RoundRecord
from fedrouter_sim.federation.plan import Deployment, Plan, Pool
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.runs.writer import RunWriter


@pytest.fixture
def writer(tmp_path: Path) -> RunWriter:
    """A writer of a run of a method without router."""
    return RunWriter(tmp_path, RunConfig(method="fedavg"), PEFT)


def test_the_last_update_of_a_group_stays(writer: RunWriter, tmp_path: Path) -> None:
    for round_ in (1, 2, 3):
        writer.received(update(0, 1, round_, value=float(round_), examples=5))
    finish(writer)
    [stored] = Run(tmp_path).updates()
    assert (stored.client, stored.group, stored.round, stored.examples) == (0, 1, 3, 5)
    assert set(read(stored.folder / "update.json")) == {
        "client",
        "group",
        "pool",
        "round",
        "examples",
        "clusters",
        "loss",
        "steps",
        "tokens",
    }


def test_rounds_are_appended_and_seconds_kept_apart(writer: RunWriter, tmp_path: Path) -> None:
    for number in (1, 2):
        record = RoundRecord(number, 0.1, [0, 2], losses={"global": 1.5}, seconds={"train": 0.25})
        writer.round_ended(record, {})
    rounds, timings = (
        [json.loads(line) for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
        for name in ("rounds.jsonl", "timings.jsonl")
    )
    assert [record["round"] for record in rounds] == [1, 2]
    where_any = {"rates", "failed", "refused", "dropped", "late", "joined", "skipped"}
    kept = {field.name for field in dataclasses.fields(RoundRecord)} - {"seconds"} - where_any
    assert set(rounds[0]) == kept
    assert timings == [{"round": 1, "seconds": {"train": 0.25}}, {"round": 2, "seconds": {"train": 0.25}}]


def test_a_round_names_what_was_refused_where_something_was(writer: RunWriter, tmp_path: Path) -> None:
    refusal: Refusal = {"client": 3, "group": 1, "pool": "global", "reason": "its example count 0 is not positive"}
    for number, refused in ((1, []), (2, [refusal])):
        writer.round_ended(RoundRecord(number, 0.1, [0, 3], refused=refused), {})
    first, second = map(json.loads, (tmp_path / "rounds.jsonl").read_text(encoding="utf-8").splitlines())
    assert "refused" not in first and second["refused"] == [refusal]


def test_the_plans_archive_gives_the_centroids_beside_each_update(writer: RunWriter, tmp_path: Path) -> None:
    asked: list[tuple[int, tuple[int, ...]]] = []

    def local_clusters(client: int, clusters: tuple[int, ...]) -> tuple[Any, Any]:
        asked.append((client, clusters))
        return np.zeros((1, 2), dtype=np.float32), np.array([3])

    archive: Any = SimpleNamespace(
        local_clusters=local_clusters, answer_tokens_of=lambda client, clusters: np.array([7])
    )
    router: Any = SimpleNamespace(normalizer=SimpleNamespace(kind="l2"))
    writer.planned(Plan(router=router, archive=archive), 2, 8)
    writer.received(dataclasses.replace(update(3, 0), clusters=(1,)))
    assert asked == [(3, (1,))]
    folder = tmp_path / "updates" / "client_003" / "group_0"
    assert load_file(folder / "centroids.safetensors")["sizes"].tolist() == [3]
    assert (read(folder / "update.json")["normalize"], read(folder / "update.json")["answer_tokens"]) == ("l2", [7])


def test_an_update_that_lies_elsewhere_is_copied_with_other_clusters(finished_run: Path, tmp_path: Path) -> None:
    run = Run(finished_run)
    assert run.router is not None and run.archive is not None
    writer = RunWriter(tmp_path, run.config, run.peft_config)
    first, *_ = run.updates()
    writer.copy_update(dataclasses.replace(first, round=9, clusters=(1,)), run.router, run.archive)
    [copy] = Path(tmp_path / "updates").glob("*/*")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (copy / name).read_bytes() == (first.folder / name).read_bytes()
    before, after = read(first.folder / "update.json"), read(copy / "update.json")
    assert (after["round"], after["clusters"], after["loss"]) == (9, [1], before["loss"])
    assert after["answer_tokens"] == run.archive.answer_tokens_of(first.client, (1,)).tolist()
    centroids, sizes = run.archive.local_clusters(first.client, (1,))
    found = load_file(copy / "centroids.safetensors")
    np.testing.assert_array_equal(found["centroids"], centroids)
    np.testing.assert_array_equal(found["sizes"], sizes)


def test_the_manifest_says_the_format_the_version_and_the_machine_beside_what_it_is_given(
    writer: RunWriter, tmp_path: Path
) -> None:
    finish(writer)
    manifest = read(tmp_path / "manifest.json")
    assert list(manifest)[:2] == ["format", "fedrouter_sim"] and manifest["format"] == 2
    assert {"seed": 42, "data_sha256": "d", "backbone_sha256": "b"}.items() <= manifest.items()
    assert {"libraries", "python", "machine", "threads"} <= manifest.keys()


def test_what_a_run_does_not_have_is_not_written(writer: RunWriter, tmp_path: Path) -> None:
    writer.write_samples(None)
    writer.write_truth(None, LabelTasks())
    writer.write_model({"global": adapter(1.0)}, Deployment((Pool("global", 9),)), 12)
    writer.write_summary(SUMMARY, {"seed": 42})
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    files = ("adapter_config.json", "adapter_model.safetensors")
    assert found == {"config.toml", "pools.json", "summary.json", "manifest.json"} | {
        f"adapters/global/{name}" for name in files
    }


def test_no_weight_is_pickled_and_every_json_is_json(finished_run: Path) -> None:
    suffixes = {path.suffix for path in finished_run.rglob("*") if path.is_file()}
    assert suffixes == {".toml", ".json", ".jsonl", ".safetensors"}
    for path in finished_run.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
