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


@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
def test_both_is_their_weighted_mean(share: float) -> None:
    vectors = find_affinity("both", {"centroid_share": str(share)}).vectors(EMBEDDED)
    gradient, centroid = (find_affinity(name).vectors(EMBEDDED) for name in ("gradient", "centroid"))
    expected = (1 - share) * gradient @ gradient.T + share * centroid @ centroid.T
    np.testing.assert_allclose(vectors @ vectors.T, expected, atol=1e-5)
    if share == 0.2:
        np.testing.assert_array_equal(GradientAndCentroid().vectors(EMBEDDED), vectors)


@pytest.mark.parametrize("share", ["-0.1", "1.5", "nan"])
def test_a_share_that_is_none_is_refused_in_one_line(share: str) -> None:
    with pytest.raises(UserError, match=rf"^--option centroid_share={share}: must be in \[0, 1\]$"):
        find_affinity("both", {"centroid_share": share})


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
