"""The normalisation of embeddings before clustering and routing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.config.words import COSINE, L2, STANDARDIZING
from fedrouter_sim.messages import FeatureSums
from fedrouter_sim.typed import Count, Natural

_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Layer:
    """The layer that was taken of those whose embeddings lie side by side."""

    name: str
    place: Count = 0
    of: Natural = 1
    agreement: Mapping[str, float] = field(default_factory=dict)  # by name, of all, where it was chosen by that

    def taken(self, embeddings: Floats) -> Floats:
        """Return its part of embeddings (n, d of all)."""
        return embeddings.reshape(len(embeddings), self.of, -1)[:, self.place]


@dataclass(frozen=True)
class Normalizer:
    """The normalisation of embeddings: 'none', 'l2' (unit rows), 'standardize', (x - mean) / deviation, or 'cosine':
    standardised, then unit rows, so that distances go by the cosine of standardised embeddings."""

    kind: str
    mean: Floats | None = None  # (d,), for those that standardise
    deviation: Floats | None = None  # (d,), for those that standardise; 1 where a feature is constant
    layer: Layer | None = None  # whose part of embeddings is normalised; None: they are of the last layer alone

    @classmethod
    def of(cls, kind: str, sums: list[FeatureSums], least: float = 0.0) -> Self:
        """Build a normaliser; those that standardise from the sums of all clients, added up in the order given.

        Args:
            kind: one of `config.words.NORMALIZATIONS`.
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

    @property
    def nbytes(self) -> int:
        """Size in bytes of mean and deviation, as sent."""
        return sum(feature.nbytes for feature in (self.mean, self.deviation) if feature is not None)

    def of_layer(self, layer: Layer) -> "Normalizer":
        """Return the normaliser of one layer; this one is of all side by side."""
        mean, deviation = (
            None if found is None else layer.taken(found[None])[0] for found in (self.mean, self.deviation)
        )
        return Normalizer(self.kind, mean, deviation, layer)

    def __call__(self, embeddings: Floats) -> Floats:
        """Normalise embeddings (n, d), of the layers side by side where there are several."""
        return self.normalized(embeddings if self.layer is None else self.layer.taken(embeddings))

    def normalized(self, embeddings: Floats) -> Floats:
        """Normalise (n, d) embeddings of the one layer."""
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
