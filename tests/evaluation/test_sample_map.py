"""Training samples in two dimensions: who is chosen, where they lie, and what is known of them."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.config import RunConfig
from fedrouter_sim.evaluation.sample_map import sample_map
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.workers import InProcess
from fedrouter_sim.messages import ClientFacts
from fedrouter_sim.methods import find_method
from fedrouter_sim.routing.router import Router
from fedrouter_sim.simulation import Stage

Labels = dict[int, list[str | None]]


def client(number: int, embeddings: Any) -> Any:
    rows = np.asarray(embeddings, dtype=np.float32)
    return SimpleNamespace(id=number, embeddings=rows, examples=[None] * len(rows))


def labels_of(clients: list[Any], task: str | None = "sum") -> Labels:
    return {one.id: [task] * len(one.examples) for one in clients}


def stage_of(clients: list[Any], plan: Plan) -> Stage:
    facts = tuple(ClientFacts(one.id, len(one.examples), 1) for one in clients)
    return Stage(plan, Federation(RunConfig(), facts, InProcess(clients), {}, 8, ""))


def stage_for(clients: list[Any], centroids: Any, normalizer: Normalizer | None = None) -> Stage:
    """A stage with one group a client, whose examples alternate between two local clusters."""
    router = Router(np.asarray(centroids, dtype=np.float32), normalizer or Normalizer("none"), 8, "")
    groups = tuple(Group(one.id, 0, tuple(range(len(one.examples))), f"task_{one.id % 2}") for one in clients)
    clusters = {one.id: np.arange(len(one.examples)) % 2 for one in clients}
    return stage_of(clients, Plan(groups, router=router, local_clusters=clusters))


def test_a_plan_without_a_router_has_no_map() -> None:
    clients = [client(0, [[1, 2]])]
    assert sample_map(stage_of(clients, Plan()), labels_of(clients)) is None
    assert sample_map(stage_for([], [[1, 2]]), {}) is None  # nor one without clients


def test_points_keep_their_distances_where_two_axes_suffice() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(20, 2)) * [3, 1]
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    clients = [client(0, flat[:10] @ turn + 7), client(1, flat[10:] @ turn + 7)]
    labels = labels_of(clients) | {1: [None] * 10}
    found = sample_map(stage_for(clients, flat[:2] @ turn + 7), labels)
    assert found is not None and sum(found["explained"]) == pytest.approx(1, abs=1e-3)
    assert found["explained"][0] > found["explained"][1]
    xy = np.array([[point["x"], point["y"]] for point in found["points"]])
    ours = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    assert ours == pytest.approx(np.linalg.norm(flat[:, None] - flat[None], axis=2), abs=1e-3)
    centroids = [(c["pool"], c["x"], c["y"]) for c in found["centroids"]]
    assert centroids == [(f"task_{i}", found["points"][i]["x"], found["points"][i]["y"]) for i in range(2)]
    known = [{key: point[key] for key in ("client", "cluster", "pool", "task")} for point in found["points"]]
    assert known[1] == {"client": 0, "cluster": 1, "pool": "task_0", "task": "sum"}
    assert known[10] == {"client": 1, "cluster": 0, "pool": "task_1", "task": None}


def test_clients_are_sampled_evenly_and_without_chance() -> None:
    rng = np.random.default_rng(1)
    clients = [client(i, rng.normal(size=(size, 3))) for i, size in enumerate((100, 40, 2))]
    stage, labels = stage_for(clients, np.zeros((1, 3))), labels_of(clients)
    found = sample_map(stage, labels, most=30)
    assert found is not None and found == sample_map(stage, labels, most=30)
    assert [sum(point["client"] == i for point in found["points"]) for i in range(3)] == [10, 10, 2]
    few = sample_map(stage, labels, most=2)
    assert few is not None and [point["client"] for point in few["points"]] == [0, 2]
    assert json.loads(json.dumps(found)) == found


def test_the_space_is_the_routers() -> None:
    clients = [client(0, [[1000, 0], [3000, 0], [1000, 4], [3000, 4]])]
    scale = Normalizer("standardize", np.array([2000, 2], np.float32), np.array([1000, 2], np.float32))
    found = sample_map(stage_for(clients, [[0, 0]], scale), labels_of(clients))
    assert found is not None and found["explained"] == [0.5, 0.5]


@pytest.mark.parametrize("rows", [[[1, 2, 3]], [[1, 2, 3]] * 4])
def test_samples_that_do_not_differ_lie_in_one_place(rows: list[list[float]]) -> None:
    clients = [client(0, rows)]
    found = sample_map(stage_for(clients, [[5, 5, 5]]), labels_of(clients))
    assert found is not None and found["explained"] == [0, 0]
    assert {(point["x"], point["y"]) for point in found["points"]} == {(0, 0)}


def test_one_dimension_is_enough() -> None:
    clients = [client(0, [[1], [2], [4]])]
    found = sample_map(stage_for(clients, [[1]]), labels_of(clients))
    assert found is not None and found["explained"] == [1, 0]


def test_each_sample_has_the_label_of_its_place() -> None:
    clients = [client(3, np.eye(4)), client(5, np.eye(2, 4))]
    labels: Labels = {3: ["a", "b", "c", "d"], 5: ["e", None]}
    found = sample_map(stage_for(clients, [[0, 0, 0, 0]]), labels, most=4)
    assert found is not None
    assert [(point["client"], point["task"]) for point in found["points"]] == [(3, "b"), (3, "d"), (5, "e"), (5, None)]


def test_a_real_plans_map_shows_its_groups_and_sends_nothing(federate: Callable[..., Federation]) -> None:
    federation = federate()
    plan = find_method("fedrouter").plan(federation)
    federation.workers.outbox.take()
    clients = clients_of(federation)
    labels = {one.id: [example.task for example in one.examples] for one in clients}
    found = sample_map(Stage(plan, federation), labels)
    assert found is not None and len(found["points"]) == sum(len(one.examples) for one in clients)
    assert federation.workers.outbox.take() == Traffic()
    pools = {(group.client, i): group.pool for group in plan.groups for i in group.examples}
    known = [(point["client"], point["cluster"], point["pool"], point["task"]) for point in found["points"]]
    assert known == [
        (one.id, int(plan.local_clusters[one.id][i]), pools[one.id, i], example.task)
        for one in clients
        for i, example in enumerate(one.examples)
    ]
