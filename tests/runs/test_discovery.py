"""discovery.json: what a run says of how its tasks were found."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fedrouter_sim.clustering.linking import link
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Deployment
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.operations.aggregate import aggregate
from fedrouter_sim.operations.train import train
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.runs.births import Asleep, Birth
from fedrouter_sim.runs.discovery import Discovery
from fedrouter_sim.runs.plans import load_plan, save_plan
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.simulation import Stage

ConfigMaker = Callable[..., RunConfig]
VECTORS = np.array([[1, 0], [0, 1], [1, 0], [0.8, 0.6]], dtype=np.float32)


def message(client: int, points: list[list[float]], sizes: list[int]) -> CentroidMessage:
    return CentroidMessage(client, np.array(points, dtype=np.float32), np.array(sizes), np.ones(len(sizes), dtype=int))


@pytest.fixture
def discovery() -> Discovery:
    """Two clients with two local clusters each, of two tasks."""
    messages = message(3, [[1, 0], [0, 1]], [5, 2]), message(8, [[1, 0], [0.8, 0.6]], [4, 1])
    archive = Archive(messages, ((0, 1), (0, 0)))
    router = router_of(archive, Normalizer("none"), 8, "", "centroid")
    linked = replace(link(VECTORS, 0.75), rows_sketched=12)
    found = Discovery.of(Deployment((), router, archive), linked, "gradient", Traffic(30, 40))
    assert found is not None
    return found


def test_tasks_say_who_holds_them_and_how_they_stand_apart(discovery: Discovery) -> None:
    one, other = discovery.tasks
    assert (one.rows, one.local_clusters, one.clients) == (10, 3, {3: 5, 8: 5})
    assert (other.rows, other.local_clusters, other.clients) == (2, 1, {3: 2})
    assert one.within == pytest.approx(0.8)  # the last unit to the two others
    assert other.within is None
    assert one.to_other == other.to_other == pytest.approx(0.6 / 3)


def test_nothing_linked_is_nothing_found(discovery: Discovery) -> None:
    assert Discovery.of(Deployment(()), discovery.linked, "both", Traffic()) is None
    assert Discovery.of(Deployment(()), None, "both", Traffic()) is None


def test_a_task_that_no_local_cluster_is_mostly_of_has_no_affinity(discovery: Discovery) -> None:
    messages = message(0, [[1, 0], [0, 1]], [5, 2]), message(1, [[1, 0], [0.8, 0.6]], [4, 1])
    archive = Archive(messages, ((0, 1), (0, 2)))
    router = router_of(archive, Normalizer("none"), 8, "", "centroid")
    found = Discovery.of(Deployment((), router, archive), discovery.linked, "both", Traffic())
    assert found is not None
    last = found.tasks[2]
    assert (last.rows, last.local_clusters, last.within, last.to_other) == (1, 0, None, None)


def test_save_and_load(discovery: Discovery, tmp_path: Path) -> None:
    assert Discovery.load(tmp_path) is None
    discovery.save(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    found = Discovery.load(tmp_path)
    assert found is not None
    assert (found.affinity, found.tasks, found.traffic) == ("gradient", discovery.tasks, Traffic(30, 40))
    found.save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    record = json.loads(first["discovery.json"])
    assert (record["tasks_found"], record["linked_tasks"], record["units"], record["rows_sketched"]) == (2, 2, 4, 12)


def test_births_and_sleep_are_kept_where_there_are_any(discovery: Discovery, tmp_path: Path) -> None:
    discovery.save(tmp_path)
    assert not {"births", "sleeping"} & json.loads((tmp_path / "discovery.json").read_text()).keys()
    grown = replace(discovery, births=(Birth("task_2", 5, 40, (3, 8)),), sleeping=(Asleep("task_1", 5),))
    grown.save(tmp_path)
    found = Discovery.load(tmp_path)
    assert found is not None and (found.births, found.sleeping) == (grown.births, grown.sleeping)
    record = json.loads((tmp_path / "discovery.json").read_text())
    assert record["births"] == [{"task": "task_2", "round": 5, "rows": 40, "clients": [3, 8]}]
    (tmp_path / "discovery.json").write_text(json.dumps(record | {"births": [{"task": "task_2"}]}))
    with pytest.raises(UserError, match=r"discovery\.json: damaged"):
        Discovery.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tasks": [{"rows": 1}]}', '{"tasks": [[]]}'])
def test_a_damaged_record_is_refused_in_one_line(discovery: Discovery, tmp_path: Path, text: str) -> None:
    discovery.save(tmp_path)
    (tmp_path / "discovery.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"discovery\.json") as caught:
        Discovery.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["gone", "no tensors", "other shapes", "more tasks"])
def test_damaged_arrays_are_refused_in_one_line(discovery: Discovery, tmp_path: Path, how: str) -> None:
    discovery.save(tmp_path)
    path = tmp_path / "discovery.safetensors"
    if how == "gone":
        path.unlink()
    elif how == "no tensors":
        path.write_bytes(b"no tensors")
    else:
        wrong = {"units": np.array([9, 0, 1, 2])} if how == "other shapes" else {"labels": np.array([0, 1, 7, 0])}
        save_file(load_file(path) | wrong, path)
    with pytest.raises(UserError, match=r"discovery\.safetensors: (missing or )?damaged") as caught:
        Discovery.load(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def auto_run(micro_config: ConfigMaker, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that found its tasks, with little training."""
    config = micro_config(tasks="auto", local_clusters="auto", rounds=1, local_steps=1, test_examples_per_client=1)
    return train(config, tmp_path_factory.mktemp("auto") / "run").folder


def test_a_run_that_finds_its_tasks_says_so(auto_run: Path) -> None:
    run = Run(auto_run)
    found, truth = run.discovery, run.truth
    assert found is not None and run.router is not None and run.archive is not None and truth is not None
    assert run.summary.tasks_found == len(found.tasks) == len(run.router.centroids)
    assert sum(task.rows for task in found.tasks) == sum(int(m.sizes.sum()) for m in run.archive.clients)
    assert sum(task.local_clusters for task in found.tasks) == len(found.linked.labels)
    assert 0 < found.linked.rows_sketched <= sum(task.rows for task in found.tasks)
    spent = sum(record["bytes_up"] for record in run.rounds())
    assert found.traffic.up == run.summary.bytes_up - spent > 0
    # The local agreement is that of groups.
    held = {client: {t for t, task in enumerate(found.tasks) if client in task.clients} for client in run.client_ids}
    assert {client: set(tasks) for client, tasks in truth.tasks.items()} == held
    assert run.summary.ari_local == truth.agreement().ari_local


def test_a_run_of_given_tasks_has_none(finished_run: Path) -> None:
    run = Run(finished_run)
    assert run.discovery is None and run.truth is not None and run.truth.tasks == {}
    assert run.router is not None and run.summary.tasks_found == len(run.router.centroids)


def test_aggregate_writes_it_as_well(auto_run: Path, tmp_path: Path) -> None:
    same = Run(aggregate(auto_run, tmp_path / "same").folder).discovery
    was = Run(auto_run).discovery
    assert same is not None and was is not None
    assert np.array_equal(same.linked.labels, was.linked.labels) and same.linked.rows_sketched == 0
    again = Run(aggregate(auto_run, tmp_path / "again", cut=0.3).folder)
    found = again.discovery
    assert found is not None and again.archive is not None and again.truth is not None
    assert again.summary.tasks_found == len(found.tasks)
    assert (found.traffic, found.linked.rows_sketched) == (Traffic(), 0)
    assert len(found.linked.labels) == sum(len(message.sizes) for message in again.archive.clients)
    assert again.truth.tasks
    given = Run(aggregate(auto_run, tmp_path / "given", tasks=2, affinity="centroid").folder)
    assert given.discovery is None and given.summary.tasks_found == 2
    assert given.truth is not None and given.truth.tasks  # its parts are smaller than tasks still


def test_a_plan_on_disk_keeps_how_its_tasks_were_linked(run_method: Callable[..., object], tmp_path: Path) -> None:
    small = {"tasks": "auto", "local_clusters": "auto", "rounds": 1, "local_steps": 1}
    [stage] = run_method("fedrouter", **small).outcome.stages  # type: ignore[attr-defined]
    assert isinstance(stage, Stage) and stage.planning.up > 0
    save_plan(tmp_path, stage.plan)
    linked, back = stage.plan.linked, load_plan(tmp_path).linked
    assert linked is not None and back is not None and linked.corrected is not None
    assert linked.rows_sketched == back.rows_sketched > 0
    assert all(np.array_equal(linked.tensors()[name], array) for name, array in back.tensors().items())
