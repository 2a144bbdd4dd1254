"""Scores of answers and of clusterings. Formulas are the libraries'; here is which ones and over what."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

_WORDS = re.compile(r"[^\W_]+")
_MOST_LABELS = 10


class _UnicodeTokenizer(Tokenizer):  # type: ignore[misc]  # rouge-score has no types
    """Lower-cased runs of letters and digits of any script; equals rouge-score's own on ASCII text.

    Its own keeps a-z and 0-9 only, which scores 0 on identical texts of other scripts.
    """

    def tokenize(self, text: str) -> list[str]:
        return _WORDS.findall(text.lower())


_SCORER = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False, tokenizer=_UnicodeTokenizer())


@dataclass(frozen=True)
class Rouge:
    """ROUGE-1, ROUGE-2 and ROUGE-L F-measures (Lin 2004), each in [0, 1]."""

    rouge1: float
    rouge2: float
    rouge_l: float


def rouge(reference: str, answer: str) -> Rouge:
    """Score one answer against its reference, without stemming."""
    scores = _SCORER.score(reference, answer)
    return Rouge(*(float(scores[key].fmeasure) for key in ("rouge1", "rouge2", "rougeL")))


def exact_match(reference: str, answer: str) -> bool:
    """Say whether the answer is the reference, up to case and surrounding space."""
    return reference.strip().casefold() == answer.strip().casefold()


def answers_are_labels(references: Sequence[str]) -> bool:
    """Say whether a task's references are labels: at most 10 different ones, each given 5 times on average."""
    different = len(set(references))
    return different <= _MOST_LABELS and different * 5 <= len(references)


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
