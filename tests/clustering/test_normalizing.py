"""The normalisation of embeddings."""

import numpy as np
import pytest

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.normalizing import Layer, Normalizer
from fedrouter_sim.messages import FeatureSums


def random_embeddings(seed: int, n: int) -> Floats:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 12)) * np.linspace(0.1, 30, 12) + np.linspace(-40, 5, 12)).astype(np.float32)


def test_standardizing_from_clients_sums_equals_standardizing_the_pooled_data() -> None:
    clients = [random_embeddings(seed, n) for seed, n in enumerate((1, 17, 200, 3))]
    pooled = np.concatenate(clients).astype(np.float64)
    normalizer = Normalizer.of("standardize", [FeatureSums.of(client) for client in clients])
    expected = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)
    found = np.concatenate([normalizer(client) for client in clients])
    assert normalizer.kind == "standardize" and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=2e-5)
    np.testing.assert_allclose(found.mean(axis=0, dtype=np.float64), 0, atol=2e-5)
    np.testing.assert_allclose(found.std(axis=0, dtype=np.float64), 1, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, -1234.567, 3e-8])
def test_a_constant_feature_becomes_zero_and_is_not_blown_up(value: float) -> None:
    embeddings = random_embeddings(0, 50)
    embeddings[:, 3] = value
    found = Normalizer.of("standardize", [FeatureSums.of(embeddings[:20]), FeatureSums.of(embeddings[20:])])(embeddings)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[:, 3], 0, atol=1e-3)


def test_a_single_example_is_standardized_to_zero() -> None:
    embeddings = random_embeddings(0, 1)
    np.testing.assert_allclose(Normalizer.of("standardize", [FeatureSums.of(embeddings)])(embeddings), 0, atol=1e-5)


@pytest.mark.parametrize("kind", ["none", "standardize"])
def test_invert_undoes_the_affine_kinds(kind: str) -> None:
    embeddings = random_embeddings(1, 40)
    normalizer = Normalizer("none") if kind == "none" else Normalizer.of("standardize", [FeatureSums.of(embeddings)])
    np.testing.assert_allclose(normalizer.invert(normalizer(embeddings)), embeddings, rtol=1e-5, atol=1e-5)


def test_invert_maps_the_mean_of_normalised_points_to_the_mean_of_the_points() -> None:
    embeddings = random_embeddings(2, 40)
    normalizer = Normalizer.of("standardize", [FeatureSums.of(embeddings)])
    mean = normalizer.invert(normalizer(embeddings[:9]).mean(axis=0, keepdims=True))
    np.testing.assert_allclose(mean[0], embeddings[:9].mean(axis=0), rtol=1e-4, atol=1e-4)


def test_none_changes_nothing() -> None:
    assert np.array_equal(Normalizer("none")(random_embeddings(0, 5)), random_embeddings(0, 5))


def test_l2_makes_unit_rows_of_the_same_direction_and_leaves_zero_alone() -> None:
    embeddings = np.concatenate([random_embeddings(0, 5), np.zeros((1, 12), dtype=np.float32)])
    found = Normalizer("l2")(embeddings)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found[:5], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(found[:5] * np.linalg.norm(embeddings[:5], axis=1)[:, None], embeddings[:5], rtol=1e-5)
    assert np.array_equal(found[5], np.zeros(12))


def test_l2_refuses_to_invert() -> None:
    with pytest.raises(ValueError, match="l2"):
        Normalizer("l2").invert(random_embeddings(0, 2))


@pytest.mark.parametrize(("kind", "off"), [("none", 1e-6), ("l2", 1e-6), ("standardize", 1e-3), ("cosine", 0.06)])
def test_means_move_to_the_space_of_another_normaliser(kind: str, off: float) -> None:
    rows = random_embeddings(1, 200)
    elsewhere = 1.5 * random_embeddings(3, 60) + np.linspace(0.1, 30, 12, dtype=np.float32)
    one, other = (Normalizer.of(kind, [FeatureSums.of(held)]) for held in (rows, elsewhere))
    moved = one.moved(one(rows).mean(axis=0, keepdims=True), other)
    np.testing.assert_allclose(moved, other(rows).mean(axis=0, keepdims=True), atol=off)
    np.testing.assert_allclose(one.moved(moved, one), moved, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["none", "l2", "standardize", "cosine"])
def test_of_layers_side_by_side_one_is_normalised_as_if_there_were_no_other(kind: str) -> None:
    one, other = random_embeddings(0, 20), random_embeddings(1, 20)
    both = np.concatenate([one, other], axis=1)
    whole = Normalizer.of(kind, [FeatureSums.of(both)])
    for place, part in enumerate((one, other)):
        layer = Layer("7", place, 2)
        np.testing.assert_array_equal(whole.of_layer(layer)(both), Normalizer.of(kind, [FeatureSums.of(part)])(part))
