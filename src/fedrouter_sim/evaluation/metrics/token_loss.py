"""The loss of the reference's tokens, in nats per token."""

from collections.abc import Sequence

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric


class TokenLoss(Metric):
    """Cross-entropy of the reference under the adapter that answers; the mean is over tokens, not over answers."""

    name = "loss"
    title = "loss"
    higher_is_better = False

    def measure(self, sample: Answered) -> float:
        """Return the mean over the reference's tokens."""
        return sample.loss / sample.tokens

    def mean(self, samples: Sequence[Answered], values: Sequence[float | None]) -> float:
        """Return the mean over all tokens."""
        return sum(sample.loss for sample in samples) / sum(sample.tokens for sample in samples)
