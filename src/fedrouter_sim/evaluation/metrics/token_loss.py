"""The loss of the reference's tokens, in nats per token."""

import math
from collections.abc import Sequence

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric


class TokenLoss(Metric):
    """Cross-entropy of the reference under the adapter that answers; the mean is over tokens, not over answers.

    There is none where an adapter's weights are so large that a loss is not finite; nor is there a mean over clients
    then, which would be that of the others alone.
    """

    name = "loss"
    title = "loss"
    higher_is_better = False
    needs_all = True

    def measure(self, sample: Answered) -> float | None:
        """Return the mean over the reference's tokens."""
        return _finite(sample.loss / sample.tokens)

    def mean(self, samples: Sequence[Answered], values: Sequence[float | None]) -> float | None:
        """Return the mean over all tokens."""
        return _finite(sum(sample.loss for sample in samples) / sum(sample.tokens for sample in samples))


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
