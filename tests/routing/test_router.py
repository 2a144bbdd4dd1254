"""The router: nearest task centroids, candidates, rules of one's own, and its files."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from inside import clients_of
from safetensors.numpy import load_file, save_file

from fedrouter_sim.clustering.normalizing import Layer, Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.routing import task_name
from fedrouter_sim.routing.router import RECIPE_NAME, TENSORS_NAME, Router

CENTROIDS = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0]], dtype=np.float32)
LAYERED = Normalizer("l2", layer=Layer("2", 1, 2, {"2": 0.5, "last": 0.25}))
AFFINE = Normalizer("standardize", np.array([1, 2, 3], dtype=np.float32), np.array([2, 4, 0.5], dtype=np.float32))


def make(normalizer: Normalizer = Normalizer("none")) -> Router:  # noqa: B008  # frozen
    return Router(CENTROIDS, normalizer, max_tokens=128, backbone_digest="abc")


@pytest.mark.parametrize("normalizer", [Normalizer("none"), AFFINE])
def test_a_task_centroid_routes_to_its_own_task(normalizer: Normalizer) -> None:
    found = make(normalizer).route(normalizer.invert(CENTROIDS))
    assert list(found.task) == [0, 1, 2]
    np.testing.assert_allclose(found.distance, 0, atol=1e-4)
    np.testing.assert_allclose(found.margin, 10, rtol=1e-5)
    assert found.weights is None


def test_distances_and_margins_are_l2_in_the_normalised_space() -> None:
    texts = np.array([[3, 4, 0], [11, 2, 0]], dtype=np.float32)
    found = make().route(texts)
    np.testing.assert_allclose(found.distance, [5, np.sqrt(5)], rtol=1e-6)
    np.testing.assert_allclose(found.margin, [np.sqrt(45) - 5, np.sqrt(11**2 + 2**2) - np.sqrt(5)], rtol=1e-6)
    unit = make(Normalizer("l2")).route(texts)
    np.testing.assert_allclose(unit.distance, [1, 1], rtol=1e-6)  # unit rows lie nearest to the origin


def test_routing_keeps_to_the_candidates() -> None:
    router = make()
    near_second = np.array([[9, 0, 0], [0, 1, 0]], dtype=np.float32)
    assert list(router.route(near_second).task) == [1, 0]
    assert list(router.route(near_second, [2]).task) == [2, 2]
    assert np.isinf(router.route(near_second, [2]).margin).all()
    for candidates in ([0, 2], [2, 0]):
        some = router.route(near_second, candidates)
        assert list(some.task) == [0, 0]
        np.testing.assert_allclose(some.distance, [9, 1], rtol=1e-6)
    for candidates in ([0, 1, 2], range(3)):
        everything = router.route(near_second, candidates)
        assert list(everything.task) == [1, 0]
        np.testing.assert_array_equal(everything.margin, router.route(near_second).margin)


@pytest.mark.parametrize("normalizer", [Normalizer("none"), Normalizer("l2"), AFFINE, LAYERED])
def test_save_and_load_give_the_same_router(tmp_path: Path, normalizer: Normalizer) -> None:
    router = make(normalizer)
    router.save(tmp_path)
    loaded = Router.load(tmp_path)
    texts = np.random.default_rng(0).normal(size=(50, router.width)).astype(np.float32) * 9
    assert router.width == (6 if normalizer is LAYERED else 3) and loaded.normalizer.layer == normalizer.layer
    for tasks in (None, [0, 1], [2], [0, 2]):
        one, two = router.route(texts, tasks), loaded.route(texts, tasks)
        for name in ("task", "distance", "margin"):
            assert np.array_equal(getattr(one, name), getattr(two, name))
    assert (loaded.max_tokens, loaded.backbone_digest, loaded.normalizer.kind) == (128, "abc", normalizer.kind)
    assert (loaded.rule, loaded.options) == ("centroid", ())


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


def test_its_files_hold_nothing_of_any_client(tmp_path: Path) -> None:
    make(AFFINE).save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [RECIPE_NAME, TENSORS_NAME]
    assert set(load_file(tmp_path / TENSORS_NAME)) == {"task_centroids", "feature_mean", "feature_deviation"}


def test_planned_router_survives_its_files(federate: Callable[..., Federation], tmp_path: Path) -> None:
    federation = federate()
    router = FedRouter().plan(federation).router
    assert router is not None
    router.save(tmp_path)
    embeddings = np.concatenate([client.embeddings for client in clients_of(federation)])
    assert np.array_equal(router.route(embeddings).distance, Router.load(tmp_path).route(embeddings).distance)


FARTHEST = '''"""A rule of one's own: the farthest centroid, times so much."""

import numpy as np

from fedrouter_sim.routing.rule import Routes, RoutingRule


class Farthest(RoutingRule):
    name = "farthest"

    def __init__(self, times: float = 1.0) -> None:
        self.times = times

    def route(self, points, landmarks):
        distances = np.linalg.norm(points[:, None] - landmarks.centroids[None], axis=2)
        return Routes(distances.argmax(1), self.times * distances.max(1), np.zeros(len(points)))
'''


def test_a_rule_of_ones_own_and_its_options_survive_the_files(tmp_path: Path) -> None:
    file = tmp_path / "farthest.py"
    file.write_text(FARTHEST, encoding="utf-8")
    router = Router(CENTROIDS, AFFINE, 128, "abc", f"{file}:Farthest", ("times=2.0", "for_others=x"))
    router.save(tmp_path)
    for of_run in (None, "centroid", f"{file}:Other"):  # a file that the folder alone names is not run
        with pytest.raises(UserError, match="rule must be a shipped one, or that of the run's settings"):
            Router.load(tmp_path, of_run)
    loaded = Router.load(tmp_path, router.rule)
    assert (loaded.rule, loaded.options) == (router.rule, router.options)
    texts = AFFINE.invert(np.array([[9, 0, 0], [0, 1, 0]], dtype=np.float32))
    for one in (router, loaded):
        found = one.route(texts)
        assert list(found.task) == [2, 1]
        np.testing.assert_allclose(found.distance, [2 * np.sqrt(181), 2 * np.sqrt(101)], rtol=1e-5)
        assert list(one.route(texts, [0, 2]).task) == [2, 2]


def test_a_router_of_the_first_format_is_read(tmp_path: Path) -> None:
    make(AFFINE).save(tmp_path)
    recipe = json.loads((tmp_path / RECIPE_NAME).read_text(encoding="utf-8"))
    assert recipe.pop("format") == 2
    del recipe["rule"], recipe["options"]
    (tmp_path / RECIPE_NAME).write_text(json.dumps({"format": 1} | recipe), encoding="utf-8")
    loaded = Router.load(tmp_path)
    assert (loaded.rule, loaded.options, loaded.max_tokens) == ("centroid", (), 128)
    assert list(loaded.route(AFFINE.invert(CENTROIDS)).task) == [0, 1, 2]


def drop_tensors(folder: Path) -> None:
    (folder / TENSORS_NAME).unlink()


def truncate_tensors(folder: Path) -> None:
    path = folder / TENSORS_NAME
    path.write_bytes(path.read_bytes()[:-7])


def no_centroids(folder: Path) -> None:
    tensors = load_file(folder / TENSORS_NAME)
    del tensors["task_centroids"]
    save_file(tensors, folder / TENSORS_NAME)


def drop_recipe(folder: Path) -> None:
    (folder / RECIPE_NAME).unlink()


def half_a_recipe(folder: Path) -> None:
    path = folder / RECIPE_NAME
    path.write_text(path.read_text(encoding="utf-8")[:40], encoding="utf-8")


def recipe_is_a_list(folder: Path) -> None:
    (folder / RECIPE_NAME).write_text("[1]", encoding="utf-8")


def later_format(folder: Path) -> None:
    path = folder / RECIPE_NAME
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 2', '"format": 3'), encoding="utf-8")


DAMAGES = [
    drop_tensors, truncate_tensors, no_centroids, drop_recipe, half_a_recipe, recipe_is_a_list, later_format
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    make(AFFINE).save(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)) as caught:
        Router.load(tmp_path)
    assert "\n" not in str(caught.value)
