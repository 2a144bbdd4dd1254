"""Affinities: the table, and what each takes for likeness."""

from pathlib import Path

import numpy as np
import pytest

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.affinities import AFFINITIES, find_affinity
from fedrouter_sim.clustering.affinities.affinity import Embedded
from fedrouter_sim.clustering.affinities.both import GradientAndCentroid
from fedrouter_sim.clustering.affinities.gradient import LEAST_RELIABILITY, reliability
from fedrouter_sim.errors import UserError


def halves_of(*pairs: tuple[list[float], list[float]]) -> Floats:
    return np.array(pairs, dtype=np.float32)


CENTROIDS = np.array([[3, 4], [6, 8], [-4, 3]], dtype=np.float32)
SAME = ([2.0, 0.0], [5.0, 0.0])  # halves that agree: no noise
HALF = ([1.0, 0.0], [1.0, 3**0.5])  # at 60 degrees: their cosine is a half
CROSS = ([1.0, 0.0], [0.0, 1.0])
EMBEDDED = Embedded(CENTROIDS, halves_of(SAME, HALF, CROSS))


def test_reliability_is_spearmans_and_browns() -> None:
    found = reliability(halves_of(SAME, HALF, CROSS, ([1.0, 0.0], [-1.0, 0.0]), ([1.0, 0.0], [0.0, 0.0])))
    least = LEAST_RELIABILITY
    np.testing.assert_allclose(found, [1, 2 * 0.5 / 1.5, least, least, least], rtol=1e-6)


def test_reliability_is_how_two_such_sums_would_agree() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=4000)
    one, other = truth + 2 * rng.normal(size=(2, 2, 4000))  # two clusters of the same task, of two halves each
    agreement = one.sum(0) @ other.sum(0) / np.linalg.norm(one.sum(0)) / np.linalg.norm(other.sum(0))
    np.testing.assert_allclose(reliability(np.stack([one, other]).astype(np.float32)), agreement, atol=0.05)


def test_gradients_are_compared_by_cosine_corrected_for_noise() -> None:
    vectors = find_affinity("gradient").vectors(EMBEDDED)
    whole = EMBEDDED.halves.sum(axis=1)  # type: ignore[union-attr]
    units = whole / np.linalg.norm(whole, axis=1, keepdims=True)
    factor = np.array([1, 2 / 3, LEAST_RELIABILITY]) ** -0.5
    np.testing.assert_allclose(vectors @ vectors.T, (units @ units.T) * np.outer(factor, factor), rtol=1e-5)
    with pytest.raises(ValueError, match="sketches are needed"):
        find_affinity("gradient").vectors(Embedded(CENTROIDS))


def test_centroids_are_compared_by_cosine_without_sketches() -> None:
    vectors = find_affinity("centroid").vectors(Embedded(CENTROIDS))
    np.testing.assert_allclose(vectors @ vectors.T, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("weight", [0.0, 0.8, 2.0])
def test_both_adds_the_mean_cosine_of_rows_to_that_of_gradients(weight: float) -> None:
    rows = np.array(
        [[[1, 0], [0, 1]], [[0.6, 0.8], [0.6, 0.8]], [[-1, 0], [0, 1]]], dtype=np.float32
    )  # 3 clusters of 2
    embedded = Embedded(rows.mean(axis=1), EMBEDDED.halves)
    vectors = find_affinity("both", {"centroid_weight": str(weight)}).vectors(embedded)
    gradient = find_affinity("gradient").vectors(embedded)
    cosines = np.einsum("ird,jsd->ijrs", rows, rows).mean(axis=(2, 3))
    np.testing.assert_allclose(vectors @ vectors.T, gradient @ gradient.T + weight * cosines, rtol=1e-5, atol=1e-6)
    if weight == 0.8:
        np.testing.assert_array_equal(GradientAndCentroid().vectors(embedded), vectors)


def test_both_shortens_centroids_of_rows_that_are_not_of_unit_length() -> None:
    added = GradientAndCentroid(1).vectors(EMBEDDED)[:, 2:]
    np.testing.assert_allclose(added, CENTROIDS / np.linalg.norm(CENTROIDS, axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("weight", ["-0.1", "inf", "nan"])
def test_a_weight_that_is_none_is_refused_in_one_line(weight: str) -> None:
    with pytest.raises(UserError, match=rf"^--option centroid_weight={weight}: must be 0 or more$"):
        find_affinity("both", {"centroid_weight": weight})


OWN = """
from fedrouter_sim.clustering.affinities.affinity import Affinity


class First(Affinity):
    name = "first"

    def vectors(self, embedded):
        return embedded.centroids[:, :1]
"""


def test_the_table_of_affinities_takes_ones_own(tmp_path: Path) -> None:
    assert AFFINITIES.names == ("gradient", "centroid", "update", "both")
    assert [AFFINITIES.class_of(name).name for name in AFFINITIES.names] == list(AFFINITIES.names)
    evidence = [AFFINITIES.class_of(name).evidence for name in AFFINITIES.names]
    assert evidence == ["gradients", "nothing", "updates", "gradients"]
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    assert find_affinity(f"{tmp_path / 'own.py'}:First").vectors(EMBEDDED).tolist() == [[3], [6], [-4]]
    with pytest.raises(
        UserError, match="--affinity x: choose one of gradient, centroid, update, both, or give your own"
    ):
        find_affinity("x")
