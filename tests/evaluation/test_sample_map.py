"""Training samples in two dimensions: who is chosen, where they lie, and what is known of them."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedrouter_sim.clustering.kmeans import Normalizer
from fedrouter_sim.evaluation.sample_map import sample_map
from fedrouter_sim.messages import Group
from fedrouter_sim.methods import Plan
from fedrouter_sim.routing.router import Router


def client(number: int, embeddings: Any, task: str | None = "sum") -> Any:
    rows = np.asarray(embeddings, dtype=np.float32)
    return SimpleNamespace(id=number, embeddings=rows, examples=[SimpleNamespace(task=task)] * len(rows))


def plan_for(clients: list[Any], centroids: Any, normalizer: Normalizer | None = None) -> Plan:
    """A plan with one group a client, whose examples alternate between two local clusters."""
    router = Router(np.asarray(centroids, dtype=np.float32), normalizer or Normalizer("none"), (), (), 8, "")
    groups = tuple(Group(one.id, 0, tuple(range(len(one.examples))), f"task_{one.id % 2}") for one in clients)
    clusters = {one.id: np.arange(len(one.examples)) % 2 for one in clients}
    return Plan(groups, router=router, local_clusters=clusters)


def test_a_plan_without_a_router_has_no_map() -> None:
    assert sample_map([client(0, [[1, 2]])], Plan()) is None


def test_points_keep_their_distances_where_two_axes_suffice() -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(20, 2)) * [3, 1]
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0][:2]
    clients = [client(0, flat[:10] @ turn + 7), client(1, flat[10:] @ turn + 7, task=None)]
    found = sample_map(clients, plan_for(clients, flat[:2] @ turn + 7))
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
    plan = plan_for(clients, np.zeros((1, 3)))
    found = sample_map(clients, plan, most=30)
    assert found is not None and found == sample_map(clients, plan, most=30)
    assert [sum(point["client"] == i for point in found["points"]) for i in range(3)] == [10, 10, 2]
    few = sample_map(clients, plan, most=2)
    assert few is not None and [point["client"] for point in few["points"]] == [0, 2]
    assert json.loads(json.dumps(found)) == found


def test_the_space_is_the_routers() -> None:
    clients = [client(0, [[1000, 0], [3000, 0], [1000, 4], [3000, 4]])]
    scale = Normalizer("standardize", np.array([2000, 2], np.float32), np.array([1000, 2], np.float32))
    found = sample_map(clients, plan_for(clients, [[0, 0]], scale))
    assert found is not None and found["explained"] == [0.5, 0.5]


@pytest.mark.parametrize("rows", [[[1, 2, 3]], [[1, 2, 3]] * 4])
def test_samples_that_do_not_differ_lie_in_one_place(rows: list[list[float]]) -> None:
    clients = [client(0, rows)]
    found = sample_map(clients, plan_for(clients, [[5, 5, 5]]))
    assert found is not None and found["explained"] == [0, 0]
    assert {(point["x"], point["y"]) for point in found["points"]} == {(0, 0)}


def test_one_dimension_is_enough() -> None:
    clients = [client(0, [[1], [2], [4]])]
    found = sample_map(clients, plan_for(clients, [[1]]))
    assert found is not None and found["explained"] == [1, 0]
