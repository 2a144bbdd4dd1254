"""The normalisation of embeddings before clustering and routing."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.config_words import COSINE, L2, STANDARDIZING
from fedrouter_sim.messages import FeatureSums

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Normalizer:
    """The normalisation of embeddings: 'none', 'l2' (unit rows), 'standardize', (x - mean) / deviation, or 'cosine':
    standardised, then unit rows, so that distances go by the cosine of standardised embeddings."""

    kind: str
    mean: Floats | None = None  # (d,), for those that standardise
    deviation: Floats | None = None  # (d,), for those that standardise; 1 where a feature is constant

    @classmethod
    def of(cls, kind: str, sums: list[FeatureSums], least: float = 0.0) -> Self:
        """Build a normaliser; those that standardise from the sums of all clients, added up in the order given.

        Args:
            kind: one of `config_words.NORMALIZATIONS`.
            sums: of all clients.
            least: the least deviation of a feature, where the sums are noised: what is below it may be noise.
        """
        if kind not in STANDARDIZING:
            return cls(kind)
        count = sum(one.count for one in sums)
        mean = np.sum([one.total for one in sums], axis=0) / count
        variance = np.sum([one.total_squares for one in sums], axis=0) / count - mean**2
        deviation = np.sqrt(np.maximum(variance, 0))
        # A feature whose spread is rounding noise must not be blown up.
        deviation[deviation <= 1e-6 * np.maximum(np.abs(mean), 1)] = 1
        if least:
            deviation = np.maximum(np.sqrt(np.maximum(variance, 0)), least)
        return cls(kind, mean.astype(np.float32), deviation.astype(np.float32))

    def __call__(self, embeddings: Floats) -> Floats:
        """Normalise (n, d) embeddings."""
        if self.mean is not None and self.deviation is not None:
            embeddings = (embeddings - self.mean) / self.deviation
        return unit_rows(embeddings) if self.kind in (L2, COSINE) else embeddings

    def invert(self, points: Floats) -> Floats:
        """Map normalised (n, d) points back: exact for affine kinds, since means map to means.

        Raises:
            ValueError: 'l2' and 'cosine' forget the length of what they normalised.
        """
        if self.kind in (L2, COSINE):
            raise ValueError(
                f"{self.kind} normalisation cannot be undone: the mean of unit vectors is not the unit vector of the "
                "mean"
            )
        if self.mean is not None and self.deviation is not None:
            return points * self.deviation + self.mean
        return points

    def moved(self, means: Floats, to: "Normalizer") -> Floats:
        """Return where the means (k, d) of some normalised rows would lie, had another of the kind normalised the rows.

        Exact but for 'cosine', which forgets how long the rows were: standardised rows are as long as the root of d on
        average, and rows that scatter so much about their mean here are taken to scatter as much there.
        """
        if self.mean is None or self.deviation is None or to.mean is None or to.deviation is None:
            return means
        if self.kind != COSINE:
            return (means * self.deviation + self.mean - to.mean) / to.deviation
        width = means.shape[1]
        there = (means * np.float32(width**0.5) * self.deviation + self.mean - to.mean) / to.deviation
        scatter = width * np.maximum(1 - (means**2).sum(axis=1, keepdims=True), 0)
        return np.asarray(there / np.sqrt((there**2).sum(axis=1, keepdims=True) + scatter + _TINY), dtype=np.float32)


def unit_rows(rows: Floats) -> Floats:
    """Scale each row of (n, d) to unit length; a row of zeros stays."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(norms, _TINY), dtype=np.float32)
