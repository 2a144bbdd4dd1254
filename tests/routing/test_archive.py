"""The archive: what clients sent of their local clusters, beside the router, and in runs of before in its file."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.routing.archive import ARCHIVE_NAME, Archive
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.routing.router import RECIPE_NAME, TENSORS_NAME, Router

ROUTER = Router(np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0]], dtype=np.float32), Normalizer("none"), 128, "abc")


def message(client: int, points: list[list[float]], sizes: list[int], answers: list[int]) -> CentroidMessage:
    return CentroidMessage(client, np.array(points, dtype=np.float32), np.array(sizes), np.array(answers))


ARCHIVE = Archive(
    clients=(
        message(3, [[0, 1, 0], [10, 1, 0]], [4, 6], [5, 9]),
        message(11, [[1, 10, 0]], [3], [7]),
        message(12, [[0, 0, 1], [1, 0, 0], [0, 9, 0]], [1, 2, 3], [6, 2, 3]),
    ),
    assignment=((0, 1), (2,), (0, 0, 2)),
)


def equal(one: Archive, two: Archive) -> bool:
    """Whether two archives are the same to the bit."""
    same = [
        (a.client, a.centroids.tobytes(), a.sizes.tolist(), a.answer_tokens.tolist())
        == (b.client, b.centroids.tobytes(), b.sizes.tolist(), b.answer_tokens.tolist())
        for a, b in zip(one.clients, two.clients, strict=True)
    ]
    return all(same) and one.assignment == two.assignment


def save_as_before(folder: Path) -> None:
    """Write the router and the archive as runs of the first format had them: in one file."""
    ROUTER.save(folder)
    ARCHIVE.save(folder)
    tensors = load_file(folder / TENSORS_NAME) | load_file(folder / ARCHIVE_NAME)
    (folder / ARCHIVE_NAME).unlink()
    save_file(tensors, folder / TENSORS_NAME)
    recipe = json.loads((folder / RECIPE_NAME).read_text(encoding="utf-8"))
    del recipe["rule"], recipe["options"]
    (folder / RECIPE_NAME).write_text(json.dumps(recipe | {"format": 1}), encoding="utf-8")


def test_a_clients_tasks_are_those_of_its_own_clusters() -> None:
    assert [ARCHIVE.tasks_of(client) for client in (3, 11, 12)] == [[0, 1], [2], [0, 2]]


def test_local_clusters_and_longest_answers_by_client_id() -> None:
    centroids, sizes = ARCHIVE.local_clusters(12, (0, 2))
    np.testing.assert_array_equal(centroids, [[0, 0, 1], [0, 9, 0]])
    assert list(sizes) == [1, 3]
    assert list(ARCHIVE.answer_tokens_of(12, (2, 0))) == [3, 6]
    assert ARCHIVE.answer_tokens(3) == [6, 9, 7]
    assert ARCHIVE.answer_tokens(4) == [6, 9, 7, 1]  # a task without clusters


@pytest.mark.parametrize("client", [0, 4])
def test_a_client_that_sent_nothing_is_not_there(client: int) -> None:
    with pytest.raises(KeyError):
        ARCHIVE.tasks_of(client)


def test_save_and_load_give_the_same_archive(tmp_path: Path) -> None:
    ARCHIVE.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE_NAME]
    loaded = Archive.load(tmp_path)
    assert loaded is not None and equal(loaded, ARCHIVE)
    assert [loaded.tasks_of(client) for client in (3, 11, 12)] == [[0, 1], [2], [0, 2]]
    assert loaded.answer_tokens(3) == ARCHIVE.answer_tokens(3)


def test_saving_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    ARCHIVE.save(tmp_path)
    first, loaded = (tmp_path / ARCHIVE_NAME).read_bytes(), Archive.load(tmp_path)
    assert loaded is not None
    loaded.save(tmp_path)
    assert (tmp_path / ARCHIVE_NAME).read_bytes() == first


def test_a_planned_archive_survives_its_file(federate: Callable[..., Federation], tmp_path: Path) -> None:
    archive = FedRouter().plan(federate()).archive
    assert archive is not None
    archive.save(tmp_path)
    loaded = Archive.load(tmp_path)
    assert loaded is not None and equal(loaded, archive)


SKETCHES = np.random.default_rng(0).normal(size=(6, 2, 512)).astype(np.float16)
SKETCHED = Archive(
    tuple(
        dataclasses.replace(one, halves=SKETCHES[first : first + len(one.sizes)])
        for one, first in zip(ARCHIVE.clients, (0, 2, 3), strict=True)
    ),
    ARCHIVE.assignment,
)


def test_sketches_survive_and_an_archive_without_them_has_none(tmp_path: Path) -> None:
    ARCHIVE.save(tmp_path)
    assert "client_sketches" not in load_file(tmp_path / ARCHIVE_NAME)
    without = Archive.load(tmp_path)
    assert without is not None and all(one.halves is None for one in without.clients)
    SKETCHED.save(tmp_path)
    loaded = Archive.load(tmp_path)
    assert loaded is not None and equal(loaded, SKETCHED)
    assert all(one.halves is not None for one in loaded.clients)
    np.testing.assert_array_equal(
        np.concatenate([one.halves for one in loaded.clients if one.halves is not None]), SKETCHES
    )


def test_the_task_of_several_local_clusters_is_that_of_most_rows() -> None:
    assert ARCHIVE.task_of(3, (0, 1)) == 1
    assert [ARCHIVE.task_of(12, clusters) for clusters in ((0, 1), (0, 2), (2,), (0, 1, 2))] == [0, 2, 2, 0]
    assert ARCHIVE.task_of(11, (0,)) == 2


def test_a_run_without_archive_has_none(tmp_path: Path) -> None:
    assert Archive.load(tmp_path) is None
    ROUTER.save(tmp_path)  # as a router that is shipped
    assert Archive.load(tmp_path) is None


def test_an_older_run_has_it_in_the_file_of_the_router(tmp_path: Path) -> None:
    save_as_before(tmp_path)
    loaded, router = Archive.load(tmp_path), Router.load(tmp_path)
    assert loaded is not None and equal(loaded, ARCHIVE)
    np.testing.assert_array_equal(router.centroids, ROUTER.centroids)
    near_second = np.array([[9, 0, 0], [0, 1, 0]], dtype=np.float32)
    assert list(router.route(near_second, loaded.tasks_of(12)).task) == [0, 0]
    # Saved anew, each has a file of its own.
    router.save(tmp_path)
    loaded.save(tmp_path)
    assert set(load_file(tmp_path / TENSORS_NAME)) == {"task_centroids"}
    again = Archive.load(tmp_path)
    assert again is not None and equal(again, ARCHIVE)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def no_text(path: Path) -> None:
    path.write_text("[1]", encoding="utf-8")


def no_assignment(path: Path) -> None:
    tensors = load_file(path)
    del tensors["assignment"]
    save_file(tensors, path)


def too_few_rows(path: Path) -> None:
    tensors = load_file(path)
    tensors["client_centroids"] = tensors["client_centroids"][:2]
    save_file(tensors, path)


DAMAGES = [truncated, no_text, no_assignment, too_few_rows]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [ARCHIVE_NAME, TENSORS_NAME])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], None], name: str) -> None:
    if name == ARCHIVE_NAME:
        ARCHIVE.save(tmp_path)
    else:
        save_as_before(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(UserError, match=f"{tmp_path / name}: damaged") as caught:
        Archive.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_an_archive_that_says_not_whose_clusters_they_are_is_refused(tmp_path: Path) -> None:
    ARCHIVE.save(tmp_path)
    tensors = load_file(tmp_path / ARCHIVE_NAME)
    del tensors["client_ids"]
    save_file(tensors, tmp_path / ARCHIVE_NAME)
    with pytest.raises(UserError, match=r"damaged .*client_ids"):
        Archive.load(tmp_path)


def test_an_older_router_without_the_clients_is_damaged(tmp_path: Path) -> None:
    save_as_before(tmp_path)
    tensors = load_file(tmp_path / TENSORS_NAME)
    del tensors["client_ids"]
    save_file(tensors, tmp_path / TENSORS_NAME)
    with pytest.raises(UserError, match=r"router\.safetensors: damaged .*client_ids.*; train or aggregate"):
        Archive.load(tmp_path)


def test_what_is_set_aside_is_kept_and_makes_no_router(tmp_path: Path) -> None:
    clients = [
        CentroidMessage(client, np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32), np.ones(2, int), np.ones(2, int))
        for client in range(3)
    ]
    clients.append(dataclasses.replace(clients[0], client=3, centroids=-3 * clients[0].centroids))
    archive = Archive.of(clients, [(0, 1)] * 4, 0.25)
    assert archive.counted == ((1, 1),) * 3 + ((0, 0),)
    archive.save(tmp_path)
    assert Archive.load(tmp_path).counted == archive.counted  # type: ignore[union-attr]
    router = router_of(archive, Normalizer("none"), 8, "", "centroid")
    assert router.centroids.tolist() == [[1, 0], [0, 1]]
    assert Archive.of(clients, [(0, 1)] * 4).counted is None
