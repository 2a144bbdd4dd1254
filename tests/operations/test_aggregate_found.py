"""`aggregate` of runs that found their tasks, and of older runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file, save_file

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations import aggregate as aggregate_module
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]
BytesOf = Callable[[Path], dict[str, bytes]]
Same = Callable[[Adapter, Adapter], bool]


@pytest.fixture(scope="module")
def auto_run(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that found its tasks, of fine local clusters so that rows were corrected."""
    config = micro_config(tasks="auto", local_clusters="auto", rounds=1, local_steps=2, test_examples_per_client=1)
    return train(config, tmp_path_factory.mktemp("auto") / "run", False, Display()).folder


def test_the_own_choices_of_a_run_that_found_its_tasks_give_its_own_bytes(
    auto_run: Path, tmp_path: Path, trained_bytes: BytesOf
) -> None:
    done = aggregate(auto_run, tmp_path / "again")
    first = trained_bytes(auto_run)
    del first["rounds.jsonl"]
    assert trained_bytes(done.folder) == first
    for name in ("config.toml", "clients.safetensors"):
        assert (done.folder / name).read_bytes() == (auto_run / name).read_bytes()


def test_another_seed_reaches_the_linking(auto_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, link = list[int](), aggregate_module.link_parts
    monkeypatch.setattr(aggregate_module, "link_parts", lambda *given: seeds.append(given[2].seed) or link(*given))
    aggregate(auto_run, tmp_path / "own")
    aggregate(auto_run, tmp_path / "seven", seed=7)
    assert seeds == [7]  # with its own, nothing is linked again


def test_a_run_that_found_its_tasks_takes_a_number_a_cut_or_another_affinity(
    auto_run: Path, tmp_path: Path, trained_bytes: BytesOf
) -> None:
    two = Run(aggregate(auto_run, tmp_path / "two", tasks=2).folder)
    assert (two.config.tasks, two.config.affinity) == (2, "both")
    assert {pool.name for pool in two.pools} == {"task_0", "task_1"}
    assert two.archive is not None and {t for own in two.archive.assignment for t in own} == {0, 1}
    counts = []
    for cut in (-1.0, 1.0):
        run = Run(aggregate(auto_run, tmp_path / f"cut{cut}", cut=cut).folder)
        assert run.config.cut == cut
        counts.append(len(run.pools))
    assert counts[0] == 1 < 2 < counts[1]
    by_centroids = Run(aggregate(auto_run, tmp_path / "centroids", tasks=2, affinity="centroid").folder)
    assert len(by_centroids.pools) == 2
    # What is made so is the run's own from then on.
    for folder in (two.folder, by_centroids.folder):
        once_more = aggregate(folder, tmp_path / f"more-{folder.name}")
        assert trained_bytes(once_more.folder) == trained_bytes(folder)
        archives = [(one / "clients.safetensors").read_bytes() for one in (once_more.folder, folder)]
        assert archives[0] == archives[1]


def test_an_update_falls_to_the_task_of_most_of_its_rows(auto_run: Path, tmp_path: Path) -> None:
    run = Run(aggregate(auto_run, tmp_path / "two", tasks=2).folder)
    assert run.archive is not None
    counts = [0, 0]
    for update in Run(auto_run).updates():
        rows = {0: 0, 1: 0}
        assigned = run.archive.assignment[update.client]
        for cluster in update.clusters:
            rows[assigned[cluster]] += int(run.archive.clients[update.client].sizes[cluster])
        counts[0 if rows[0] >= rows[1] else 1] += 1
    assert aggregate(auto_run, tmp_path / "again", tasks=2).updates_per_task == counts


def test_gradients_need_the_sketches_that_only_such_a_run_stored(finished_run: Path, tmp_path: Path) -> None:
    for affinity in ("gradient", "both"):
        with pytest.raises(
            UserError, match=f"--affinity {affinity}: goes by sketches of gradients, .* --affinity centroid"
        ):
            aggregate(finished_run, tmp_path / "out", affinity=affinity)
    assert not (tmp_path / "out").exists()
    auto = aggregate(finished_run, tmp_path / "auto", tasks="auto", cut=-1.0)
    assert len(Run(auto.folder).pools) == 1 and Run(auto.folder).config.tasks == "auto"


def test_a_run_from_before_whose_router_is_called_nearest_still_opens(run_copy: Path, tmp_path: Path) -> None:
    text = (run_copy / "config.toml").read_text(encoding="utf-8")
    assert 'router = "centroid"' in text
    kept = [line for line in text.splitlines() if not line.startswith(("affinity", "cut"))]
    (run_copy / "config.toml").write_text("\n".join(kept).replace('"centroid"', '"nearest"'), encoding="utf-8")
    recipe = json.loads((run_copy / "router.json").read_text(encoding="utf-8"))
    del recipe["temperature"]
    (run_copy / "router.json").write_text(json.dumps(recipe | {"rule": "nearest"}), encoding="utf-8")
    tensors = {k: v for k, v in load_file(run_copy / "router.safetensors").items() if not k.startswith("prototype")}
    save_file(tensors, run_copy / "router.safetensors")
    run = Run(run_copy)
    assert run.router is not None and (run.router.rule, run.config.router) == ("nearest", "nearest")
    points = run.router.normalizer.invert(run.router.centroids)
    assert run.router.route(points).task.tolist() == list(range(len(points)))
    done = aggregate(run, tmp_path / "again")
    assert {pool.name for pool in Run(done.folder).pools} == {pool.name for pool in run.pools}
    for pool in run.pools:
        for key, value in run.adapter(pool.name).items():
            assert torch.equal(Run(done.folder).adapter(pool.name)[key], value)
