"""The paper's router: the task of the nearest centroid."""

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import nearest
from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule


class NearestCentroid(RoutingRule):
    """A text goes to the task of the nearest centroid in L2."""

    name = "centroid"
    prototypes = False

    def route(self, points: Floats, landmarks: Landmarks) -> Routes:
        """Search a flat FAISS index."""
        found = nearest(points, landmarks.centroids)
        return Routes(found.index, found.distance, found.margin)
