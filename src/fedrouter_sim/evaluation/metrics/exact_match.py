"""Exact match, for tasks whose answers are labels."""

from collections.abc import Sequence
from unicodedata import normalize

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric

_MOST_LABELS = 10


class ExactMatch(Metric):
    """Whether the answer is the reference, up to case and surrounding space; None where answers are no labels."""

    name = "exact_match"
    title = "exact match"

    def measure(self, sample: Answered) -> float | None:
        """Compare one answer with its reference."""
        if not sample.labels:
            return None
        return float(_plain(sample.reference) == _plain(sample.answer))


def _plain(text: str) -> str:
    return normalize("NFC", text).strip().casefold()


def answers_are_labels(references: Sequence[str]) -> bool:
    """Say whether a task's references are labels: at most 10 different ones, each given 5 times on average."""
    different = len(set(references))
    return different <= _MOST_LABELS and different * 5 <= len(references)
