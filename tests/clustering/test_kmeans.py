"""K-means and nearest centroid."""

import faiss
import numpy as np
import pytest

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.kmeans import Clustering, kmeans, most_alike, nearest


def four_blobs(seed: int, n: int = 80, d: int = 16, offset: float = 0) -> tuple[Floats, Ints]:
    """Points around four centres at a distance of 28 with deviation 1, and the blob of each."""
    rng = np.random.default_rng(seed)
    blobs = np.concatenate([np.arange(4), rng.integers(0, 4, n - 4)])
    points = 20 * np.eye(4, d)[blobs] + rng.normal(size=(n, d)) + offset
    return points.astype(np.float32), blobs


def check_is_a_clustering(found: Clustering, points: Floats, k: int) -> None:
    """Centroids are the means of their members, sizes count them, none is empty, each label is by first member."""
    assert 1 <= len(found.centroids) <= k
    assert found.labels.shape == (len(points),)
    assert found.sizes.sum() == len(points) and (found.sizes > 0).all()
    firsts = [int(np.flatnonzero(found.labels == c)[0]) for c in range(len(found.centroids))]
    assert firsts == sorted(firsts)
    for c, centroid in enumerate(found.centroids):
        members = points[found.labels == c]
        assert len(members) == found.sizes[c]
        np.testing.assert_allclose(centroid, members.mean(axis=0, dtype=np.float64), rtol=1e-6, atol=1e-6)
    assert (found.centroids.dtype, found.labels.dtype, found.sizes.dtype) == (np.float32, np.int64, np.int64)


@pytest.mark.parametrize("seed", range(20))
def test_four_well_separated_blobs_are_recovered(seed: int) -> None:
    points, blobs = four_blobs(seed)
    found = kmeans(points, 4, seed)
    check_is_a_clustering(found, points, 4)
    pairs = set(zip(blobs.tolist(), found.labels.tolist(), strict=True))
    assert len(pairs) == 4 == len(found.centroids)


def test_blobs_far_from_the_origin_are_recovered() -> None:
    points, blobs = four_blobs(0, offset=1000)
    found = kmeans(points, 4, 0)
    assert len(set(zip(blobs.tolist(), found.labels.tolist(), strict=True))) == 4


def test_the_same_seed_gives_the_same_bits() -> None:
    points = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    one, two = kmeans(points, 6, 9), kmeans(points.copy(), 6, 9)
    assert one.labels.tolist() == two.labels.tolist()
    assert one.centroids.tobytes() == two.centroids.tobytes()


def test_another_seed_may_end_elsewhere_where_clusters_are_not_separated() -> None:
    points = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    assert len({tuple(kmeans(points, 12, seed).labels.tolist()) for seed in range(5)}) > 1


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_clusters_are_numbered_by_first_member_and_centroids_are_means(k: int) -> None:
    points = np.random.default_rng(k).normal(size=(60, 4)).astype(np.float32)
    found = kmeans(points, k, 3)
    check_is_a_clustering(found, points, k)
    assert found.labels[0] == 0


def test_the_number_of_threads_is_left_as_it_was() -> None:
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    try:
        kmeans(four_blobs(0)[0], 4, 0)
        assert faiss.omp_get_max_threads() == 2
    finally:
        faiss.omp_set_num_threads(before)


def test_points_are_not_changed() -> None:
    points, _ = four_blobs(1)
    before = points.copy()
    kmeans(points, 4, 0)
    assert np.array_equal(points, before)


def test_other_memory_layouts_and_float64_give_the_same_clusters() -> None:
    points, _ = four_blobs(2)
    expected = kmeans(points, 4, 0).labels.tolist()
    assert kmeans(np.asfortranarray(points), 4, 0).labels.tolist() == expected
    assert kmeans(points.astype(np.float64), 4, 0).labels.tolist() == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 4), (3, 4), (4, 4)])
def test_no_more_points_than_clusters_gives_each_point_its_own(n: int, k: int) -> None:
    points = np.arange(2 * n, dtype=np.float32)[::-1].reshape(n, 2)
    found = kmeans(points, k, 0)
    assert found.labels.tolist() == list(range(n))
    assert np.array_equal(found.centroids, points)


def test_points_that_differ_only_late_are_told_apart() -> None:
    points = np.zeros((100, 2), dtype=np.float32)
    points[98:] = [[5, 0], [0, 5]]  # after more equal ones than are looked at first
    assert kmeans(points, 3, seed=0).sizes.tolist() == [98, 1, 1]


def test_fewer_distinct_points_than_clusters_gives_one_cluster_a_distinct_point() -> None:
    points = np.array([[5, 5], [0, 0], [5, 5], [0, 0], [0, 0]], dtype=np.float32)
    found = kmeans(points, 4, 0)
    assert found.labels.tolist() == [0, 1, 0, 1, 1]
    assert found.sizes.tolist() == [2, 3]
    assert found.centroids.tolist() == [[5, 5], [0, 0]]


@pytest.mark.parametrize("k", [1, 4])
def test_all_equal_points_are_one_cluster_at_that_point(k: int) -> None:
    points = np.full((30, 3), 0.1, dtype=np.float32)
    found = kmeans(points, k, 0)
    assert found.labels.tolist() == [0] * 30
    assert np.array_equal(found.centroids, points[:1])


@pytest.mark.parametrize("seed", range(5))
def test_many_duplicates_leave_no_cluster_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.repeat(rng.normal(size=(6, 3)), [50, 1, 1, 30, 1, 2], axis=0).astype(np.float32)
    check_is_a_clustering(kmeans(points, 4, seed), points, 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_points_that_are_not_finite_are_refused(value: float) -> None:
    points = np.zeros((4, 2), dtype=np.float32)
    points[2, 1] = value
    with pytest.raises(ValueError, match="finite"):
        kmeans(points, 2, 0)


def test_no_points_are_refused() -> None:
    with pytest.raises(ValueError, match="no points"):
        kmeans(np.empty((0, 3), dtype=np.float32), 2, 0)


@pytest.mark.parametrize("n", [1, 5, 64])
@pytest.mark.parametrize("offset", [0, 300])
def test_nearest_agrees_with_numpy_in_l2_not_squared(n: int, offset: float) -> None:
    rng = np.random.default_rng(n)
    points = (rng.normal(size=(n, 24)) + offset).astype(np.float32)
    centroids = (rng.normal(size=(5, 24)) + offset).astype(np.float32)
    found = nearest(points, centroids)
    distances = np.linalg.norm(points[:, None].astype(np.float64) - centroids[None], axis=2)
    assert found.index.tolist() == distances.argmin(axis=1).tolist()
    np.testing.assert_allclose(found.distance, distances.min(axis=1), rtol=1e-5)


def test_a_point_on_its_centroid_is_at_distance_zero() -> None:
    centroids = np.random.default_rng(0).normal(size=(4, 32)).astype(np.float32) + 50
    found = nearest(centroids, centroids)
    assert found.index.tolist() == [0, 1, 2, 3]
    assert (found.distance == 0).all()


def test_one_centroid_is_the_nearest() -> None:
    found = nearest(np.array([[3, 4]], dtype=np.float32), np.zeros((1, 2), dtype=np.float32))
    assert found.index.tolist() == [0] and found.distance.tolist() == [5]


def test_the_most_alike_has_the_largest_inner_product_and_may_be_far() -> None:
    others = np.array([[1.0, 0.0], [0.0, 5.0], [-1.0, 0.0]], dtype=np.float32)
    points = np.array([[1.0, 0.1], [3.0, 1.0], [-2.0, -0.1]], dtype=np.float32)
    assert most_alike(points, others).tolist() == [0, 1, 2]
    drawn = np.random.default_rng(3).normal(size=(2, 700, 16)).astype(np.float32)
    assert most_alike(*drawn).tolist() == (drawn[0] @ drawn[1].T).argmax(axis=1).tolist()
