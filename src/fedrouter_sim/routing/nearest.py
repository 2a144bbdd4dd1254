"""The paper's router: the task of the nearest centroid."""

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import nearest
from fedrouter_sim.routing.rule import Routes, RoutingRule


class NearestCentroid(RoutingRule):
    """A text goes to the task of the nearest centroid in L2."""

    name = "nearest"

    def route(self, points: Floats, centroids: Floats) -> Routes:
        """Search a flat FAISS index."""
        found = nearest(points, centroids)
        return Routes(found.index, found.distance, found.margin)
