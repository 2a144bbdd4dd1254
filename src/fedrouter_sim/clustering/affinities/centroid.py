"""Affinity by centroids: the paper's adapter embedding."""

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.affinities.affinity import Affinity, Embedded
from fedrouter_sim.clustering.normalizing import unit_rows


class CentroidAffinity(Affinity):
    """The cosine of two centroids of embeddings."""

    name = "centroid"

    def vectors(self, embedded: Embedded) -> Floats:
        """Scale the centroids to unit length."""
        return unit_rows(embedded.centroids)
