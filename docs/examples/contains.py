"""A metric of one's own: whether the answer contains the reference.

fedrouter-sim train --metric docs/examples/contains.py:Contains
"""

from fedrouter_sim import Answered, Metric


class Contains(Metric):
    """1 where the reference stands somewhere in the answer, up to case; else 0."""

    name = "contains"
    title = "reference contained"

    def measure(self, sample: Answered) -> float:
        return float(sample.reference.casefold() in sample.answer.casefold())
