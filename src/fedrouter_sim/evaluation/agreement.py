"""How well found clusters agree with true tasks. The formulas are scikit-learn's."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score


def mean(values: Iterable[float]) -> float | None:
    """Return the mean, or None of nothing."""
    found = list(values)
    return sum(found) / len(found) if found else None


def clustering_agreement(tables: Sequence[Mapping[str, int]]) -> tuple[float, float]:
    """Return the adjusted Rand index and the normalised mutual information of a clustering with true labels.

    Args:
        tables: per cluster, how many of its members have each label.
    """
    clusters, labels, counts = [], [], []
    for cluster, table in enumerate(tables):
        for label, count in table.items():
            clusters.append(cluster)
            labels.append(label)
            counts.append(count)
    found, true = np.repeat(clusters, counts), np.repeat(labels, counts)
    return float(adjusted_rand_score(true, found)), float(normalized_mutual_info_score(true, found))
