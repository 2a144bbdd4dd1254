"""How well clusters agree with true tasks, against scikit-learn on the members."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from fedrouter_sim.evaluation.agreement import clustering_agreement, mean


def test_the_mean_of_nothing_is_none() -> None:
    assert mean([]) is None
    assert mean(iter([1.0, 2.0, 6.0])) == 3.0


def test_agreement_of_a_perfect_clustering_is_one_whatever_its_numbering() -> None:
    ari, nmi = clustering_agreement([{"b": 10}, {}, {"a": 7}])
    assert (ari, nmi) == (pytest.approx(1), pytest.approx(1))


def test_agreement_of_one_cluster_over_two_labels_is_zero() -> None:
    ari, nmi = clustering_agreement([{"a": 20, "b": 20}])
    assert (ari, nmi) == (pytest.approx(0), pytest.approx(0))


def test_agreement_equals_sklearns_on_the_members() -> None:
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 4, 200), np.array(list("abc"))[rng.integers(0, 3, 200)]
    tables = [{str(a): int(((clusters == c) & (labels == a)).sum()) for a in "abc"} for c in range(4)]
    expected = adjusted_rand_score(labels, clusters), normalized_mutual_info_score(labels, clusters)
    assert clustering_agreement(tables) == pytest.approx(expected)
