"""Reach: quantiles of distances, pooled; the score of a text; the temperature."""

from typing import Any

import numpy as np
import pytest
from embedded_rows import read

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.clustering.kmeans import kmeans, nearest
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import COSINE
from fedrouter_sim.messages import FeatureSums
from fedrouter_sim.routing.reach import (
    LEVELS,
    TEMPERATURES,
    UNSEEN_ABOVE,
    best_temperature,
    counts_as_unseen,
    pooled,
    quantiles_by_task,
    temperature_losses,
    unseen_score,
)
from fedrouter_sim.routing.router import Router

REACH = (1 + 2 * LEVELS).astype(np.float32)  # q50 = 2, q95 = 2.9


def test_quantiles_of_each_task() -> None:
    distances = np.arange(101.0)
    found, counts = quantiles_by_task(np.append(distances, 7.0), np.array([2] * 101 + [0]), 4)
    assert found.shape == (4, 25) and list(counts) == [1, 0, 101, 0]
    np.testing.assert_allclose(found[2], 100 * LEVELS)
    assert (found[0] == 7).all() and not found[[1, 3]].any()


def test_pooling_one_set_changes_nothing_and_order_does_not_matter() -> None:
    np.testing.assert_allclose(pooled(REACH[None], np.array([3])), REACH, rtol=1e-6)
    two, counts = np.stack([REACH, 5 * REACH]), np.array([10, 30])
    together = pooled(two, counts)
    np.testing.assert_array_equal(together, pooled(two[::-1], counts[::-1]))
    np.testing.assert_array_equal(
        pooled(np.stack([REACH, 0 * REACH]), np.array([2, 0])), pooled(REACH[None], counts[:1])
    )


def test_pooled_quantiles_are_near_those_of_all_values() -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(mean, 1, count) for mean, count in ((5, 400), (8, 100), (5, 1000))]
    quantiles = np.stack([np.quantile(own, LEVELS) for own in values]).astype(np.float32)
    found = pooled(quantiles, np.array([len(own) for own in values]))
    np.testing.assert_allclose(found[1:-1], np.quantile(np.concatenate(values), LEVELS)[1:-1], atol=0.1)
    assert (np.diff(found) >= 0).all()


def test_the_score_is_the_share_of_nearer_rows_and_rises_beyond() -> None:
    np.testing.assert_allclose(unseen_score(REACH[1:20].astype(float), REACH), LEVELS[1:20], atol=1e-6)
    assert unseen_score(np.array([2.85]), REACH)[0] == pytest.approx(0.925, abs=1e-6)  # between 0.9 and 0.95
    many = unseen_score(np.linspace(0, 50, 2001), REACH)
    assert many[0] == 0 and many[-1] < 1 and (np.diff(many) > 0).all()
    assert unseen_score(np.array([2.9 + 0.9]), REACH)[0] == pytest.approx(1 - 0.05 * 2**-4.6, abs=1e-5)


def test_a_reach_of_nothing_but_one_distance_still_orders() -> None:
    for reach in (np.full(25, 2, dtype=np.float32), np.zeros(25, dtype=np.float32)):
        scores = unseen_score(np.array([0.0, 2.0, 2.0001, 2.1]), reach)
        assert np.isfinite(scores).all() and (np.diff(scores) >= 0).all() and scores[-1] > UNSEEN_ABOVE


def test_a_normal_distance_at_its_99_percent_is_at_the_threshold() -> None:
    values = np.random.default_rng(1).normal(10, 1, 200_000)
    reach = np.quantile(values, LEVELS).astype(np.float32)
    assert (unseen_score(values, reach) > UNSEEN_ABOVE).mean() == pytest.approx(0.01, abs=0.002)
    assert counts_as_unseen(0.995) and not counts_as_unseen(0.99) and not counts_as_unseen(None)


def test_losses_are_those_of_a_softmax() -> None:
    distances, tasks = np.array([[1.0, 2.0, 3.0], [2.0, 1.5, 1.0]]), np.array([0, 1])
    losses = temperature_losses(distances, tasks)
    for place in (8, 16, 24):
        weights = np.exp(-(distances**2) / TEMPERATURES[place])
        likelihood = (weights / weights.sum(axis=1, keepdims=True))[[0, 1], tasks]
        assert losses[place] == pytest.approx(-np.log(likelihood).mean())
    assert np.isfinite(losses).all() and losses[-1] == pytest.approx(np.log(3), abs=1e-3)


def test_the_temperature_of_least_loss_over_all_rows() -> None:
    falls, rises = np.linspace(2, 0, 33), np.linspace(0, 2, 33)
    assert best_temperature([falls, rises], [9, 1]) == TEMPERATURES[-1]
    assert best_temperature([falls, rises], [1, 9]) == TEMPERATURES[0]
    certain = np.where(np.arange(33) <= 12, 0.0, 1.0)  # no row is wrong: the highest that is as good
    assert best_temperature([certain], [5]) == TEMPERATURES[12]


@pytest.fixture(scope="module")
def embedded() -> tuple[Any, Router]:
    """What embeds texts by the embedded backbone, and a router of its four tasks with their reach."""
    backbone = Backbone(RunConfig(dtype="float32"))
    rows: dict[str, list[str]] = {}
    for row in read("multitask/train.jsonl"):
        rows.setdefault(row["task"], []).append(row["instruction"])
    raw = [backbone.embed(own[:100]) for own in rows.values()]
    normalizer = Normalizer.of(COSINE, [FeatureSums.of(own) for own in raw])
    points = [normalizer(own) for own in raw]
    prototypes = [kmeans(own[10:], 8, seed=0).centroids for own in points]
    owners = np.repeat(np.arange(len(points)), [len(own) for own in prototypes])
    every = np.concatenate(prototypes)
    found = nearest(np.concatenate([own[:10] for own in points]), every)
    reach = quantiles_by_task(found.distance, np.zeros(len(found.distance), dtype=np.int64), 1)[0]
    centroids = np.stack([own.mean(axis=0) for own in points])
    router = Router(
        centroids, normalizer, 512, backbone.digest, "prototypes", (), every, owners,
        reach=np.repeat(reach, len(points), axis=0), reach_of_all=reach[0],
    )  # fmt: skip
    return backbone.embed, router


NOISE = ["".join(map(chr, np.random.default_rng(seed).integers(33, 127, 40))) for seed in range(5)]
STRANGE = {
    "nearly empty": [" ", ".", "?", "-", "\n"],
    "Greek": ["Καλημέρα, πώς είσαι σήμερα;", "Τρώμε ψωμί με τυρί κάθε μέρα.", "Πού είναι το τρένο της πόλης;"],
    "Japanese": ["おはようございます。", "駅はどこですか。", "明日は雨が降るでしょう。"],
    "code": [
        "def f(x):\n    return x + 1",
        "for (int i = 0; i < n; ++i) { a[i] = b[i]; }",
        "SELECT * FROM t WHERE a > 3;",
    ],
    "noise": NOISE,
}


@pytest.mark.parametrize("kind", STRANGE)
def test_texts_of_another_kind_are_more_unseen_than_nearly_all_test_rows(embedded: Any, kind: str) -> None:
    embed, router = embedded
    seen = router.unseen(embed([row["instruction"] for row in read("multitask/test.jsonl")[:160]]))
    assert np.median(router.unseen(embed(STRANGE[kind]))) > np.quantile(seen, 0.95)


def test_few_test_rows_count_as_unseen(embedded: Any) -> None:
    embed, router = embedded
    seen = router.unseen(embed([row["instruction"] for row in read("multitask/test.jsonl")[:160]]))
    assert (seen > UNSEEN_ABOVE).mean() < 0.05
