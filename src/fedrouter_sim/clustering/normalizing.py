"""The normalisation of embeddings before clustering and routing."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.messages import FeatureSums


@dataclass(frozen=True)
class Normalizer:
    """The normalisation of embeddings: 'none', 'l2' (unit rows) or 'standardize', (x - mean) / deviation."""

    kind: str
    mean: Floats | None = None  # (d,), for 'standardize'
    deviation: Floats | None = None  # (d,), for 'standardize'; 1 where a feature is constant

    @classmethod
    def standardizing(cls, sums: list[FeatureSums]) -> Self:
        """Build 'standardize' from the sums of all clients, added up in the order given."""
        count = sum(one.count for one in sums)
        mean = np.sum([one.total for one in sums], axis=0) / count
        variance = np.sum([one.total_squares for one in sums], axis=0) / count - mean**2
        deviation = np.sqrt(np.maximum(variance, 0))
        # A feature whose spread is rounding noise must not be blown up.
        deviation[deviation <= 1e-6 * np.maximum(np.abs(mean), 1)] = 1
        return cls("standardize", mean.astype(np.float32), deviation.astype(np.float32))

    def __call__(self, embeddings: Floats) -> Floats:
        """Normalise (n, d) embeddings."""
        if self.mean is not None and self.deviation is not None:
            return (embeddings - self.mean) / self.deviation
        if self.kind == "l2":
            norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
            return np.asarray(embeddings / np.maximum(norms, np.finfo(np.float32).tiny), dtype=np.float32)
        return embeddings

    def invert(self, points: Floats) -> Floats:
        """Map normalised (n, d) points back: exact for affine kinds, since means map to means.

        Raises:
            ValueError: 'l2' forgets the length of what it normalised.
        """
        if self.kind == "l2":
            raise ValueError(
                "l2 normalisation cannot be undone: the mean of unit vectors is not the unit vector of the mean"
            )
        if self.mean is not None and self.deviation is not None:
            return points * self.deviation + self.mean
        return points
