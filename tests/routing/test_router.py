"""The router: nearest task centroids, local candidates, and its files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fedrouter_sim.clustering.kmeans import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.methods import Federation
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.routing.router import RECIPE_NAME, TENSORS_NAME, Router, task_name

CENTROIDS = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0]], dtype=np.float32)
AFFINE = Normalizer("standardize", np.array([1, 2, 3], dtype=np.float32), np.array([2, 4, 0.5], dtype=np.float32))


def message(client: int, points: list[list[float]], sizes: list[int], answers: list[int]) -> CentroidMessage:
    return CentroidMessage(client, np.array(points, dtype=np.float32), np.array(sizes), np.array(answers))


def make(normalizer: Normalizer = Normalizer("none")) -> Router:  # noqa: B008  # frozen
    return Router(
        centroids=CENTROIDS,
        normalizer=normalizer,
        clients=(
            message(3, [[0, 1, 0], [10, 1, 0]], [4, 6], [5, 9]),
            message(11, [[1, 10, 0]], [3], [7]),
            message(12, [[0, 0, 1], [1, 0, 0], [0, 9, 0]], [1, 2, 3], [6, 2, 3]),
        ),
        assignment=((0, 1), (2,), (0, 0, 2)),
        max_tokens=128,
        backbone_digest="abc",
    )


@pytest.mark.parametrize("normalizer", [Normalizer("none"), AFFINE])
def test_a_task_centroid_routes_to_its_own_task(normalizer: Normalizer) -> None:
    found = make(normalizer).route(normalizer.invert(CENTROIDS))
    assert list(found.index) == [0, 1, 2]
    np.testing.assert_allclose(found.distance, 0, atol=1e-4)
    np.testing.assert_allclose(found.margin, 10, rtol=1e-5)


def test_distances_and_margins_are_l2_in_the_normalised_space() -> None:
    texts = np.array([[3, 4, 0], [11, 2, 0]], dtype=np.float32)
    found = make().route(texts)
    np.testing.assert_allclose(found.distance, [5, np.sqrt(5)], rtol=1e-6)
    np.testing.assert_allclose(found.margin, [np.sqrt(45) - 5, np.sqrt(11**2 + 2**2) - np.sqrt(5)], rtol=1e-6)
    unit = make(Normalizer("l2")).route(texts)
    np.testing.assert_allclose(unit.distance, [1, 1], rtol=1e-6)  # unit rows lie nearest to the origin


def test_local_routing_keeps_to_the_clients_tasks() -> None:
    router = make()
    near_second = np.array([[9, 0, 0], [0, 1, 0]], dtype=np.float32)
    assert list(router.route(near_second).index) == [1, 0]
    assert [router.tasks_of(client) for client in (3, 11, 12)] == [[0, 1], [2], [0, 2]]
    assert list(router.route(near_second, router.tasks_of(11)).index) == [2, 2]
    assert np.isinf(router.route(near_second, router.tasks_of(11)).margin).all()
    local = router.route(near_second, router.tasks_of(12))
    assert list(local.index) == [0, 0]
    np.testing.assert_allclose(local.distance, [9, 1], rtol=1e-6)


def test_local_clusters_and_longest_answers_by_client_id() -> None:
    centroids, sizes = make().local_clusters(12, (0, 2))
    np.testing.assert_array_equal(centroids, [[0, 0, 1], [0, 9, 0]])
    assert list(sizes) == [1, 3]
    assert make().answer_tokens() == [6, 9, 7]
    [message] = [message for message in make().clients if message.client == 12]
    assert list(make().answer_tokens_of(12, (2, 0))) == [message.answer_tokens[2], message.answer_tokens[0]]


@pytest.mark.parametrize("normalizer", [Normalizer("none"), Normalizer("l2"), AFFINE])
def test_save_and_load_give_the_same_router(tmp_path: Path, normalizer: Normalizer) -> None:
    router = make(normalizer)
    router.save(tmp_path)
    loaded = Router.load(tmp_path)
    texts = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32) * 9
    for client in (None, 3, 11, 12):
        tasks = None if client is None else router.tasks_of(client)
        one, two = router.route(texts, tasks), loaded.route(texts, None if client is None else loaded.tasks_of(client))
        for name in ("index", "distance", "margin"):
            assert np.array_equal(getattr(one, name), getattr(two, name))
    assert loaded.assignment == router.assignment
    assert loaded.answer_tokens() == router.answer_tokens()
    assert (loaded.max_tokens, loaded.backbone_digest, loaded.normalizer.kind) == (128, "abc", normalizer.kind)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    make(AFFINE).save(folders[0])
    Router.load(folders[0]).save(folders[1])
    for name in (TENSORS_NAME, RECIPE_NAME):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    recipe = json.loads((folders[0] / RECIPE_NAME).read_text(encoding="utf-8"))
    assert recipe["tasks"] == [task_name(task) for task in range(3)] == ["task_0", "task_1", "task_2"]


def test_planned_router_survives_its_files(federate: Callable[..., Federation], tmp_path: Path) -> None:
    federation = federate()
    router = FedRouter().plan(federation).router
    assert router is not None
    router.save(tmp_path)
    embeddings = np.concatenate([client.embeddings for client in federation.clients])
    assert np.array_equal(router.route(embeddings).distance, Router.load(tmp_path).route(embeddings).distance)


def drop_tensors(folder: Path) -> None:
    (folder / TENSORS_NAME).unlink()


def truncate_tensors(folder: Path) -> None:
    path = folder / TENSORS_NAME
    path.write_bytes(path.read_bytes()[:-7])


def no_owners(folder: Path) -> None:
    tensors = load_file(folder / TENSORS_NAME)
    del tensors["client_ids"]
    save_file(tensors, folder / TENSORS_NAME)


def too_few_rows(folder: Path) -> None:
    tensors = load_file(folder / TENSORS_NAME)
    tensors["client_centroids"] = tensors["client_centroids"][:2]
    save_file(tensors, folder / TENSORS_NAME)


def half_a_recipe(folder: Path) -> None:
    path = folder / RECIPE_NAME
    path.write_text(path.read_text(encoding="utf-8")[:40], encoding="utf-8")


def recipe_is_a_list(folder: Path) -> None:
    (folder / RECIPE_NAME).write_text("[1]", encoding="utf-8")


def later_format(folder: Path) -> None:
    path = folder / RECIPE_NAME
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 2'), encoding="utf-8")


DAMAGES = [drop_tensors, truncate_tensors, no_owners, too_few_rows, half_a_recipe, recipe_is_a_list, later_format]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    make(AFFINE).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)) as caught:
        Router.load(tmp_path)
    assert "\n" not in str(caught.value)
