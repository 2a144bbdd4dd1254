"""Exact match, for tasks whose answers are labels: the accuracy of a classifier."""

from unicodedata import normalize

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric


class ExactMatch(Metric):
    """Whether the answer is the reference, up to case and surrounding space; None where answers are no labels."""

    name = "exact_match"
    title = "exact match"

    def measure(self, sample: Answered) -> float | None:
        """Compare one answer with its reference."""
        if not sample.labels:
            return None
        return float(as_label(sample.reference) == as_label(sample.answer))


def as_label(text: str) -> str:
    """Return a text as it counts as a label: without case and surrounding space."""
    return normalize("NFC", text).strip().casefold()
