"""The paper's router: the task of the nearest centroid."""

from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import distances
from fedrouter_sim.routing.rule import Landmarks, Routes, RoutingRule
from fedrouter_sim.routing.weighing import nearest_task


class NearestCentroid(RoutingRule):
    """A text goes to the task of the nearest centroid in L2; its confidence is softmax(-d^2 / temperature) there."""

    name = "centroid"
    prototypes = False

    def route(self, points: Floats, landmarks: Landmarks) -> Routes:
        """Search a flat FAISS index."""
        return nearest_task(distances(points, landmarks.centroids), landmarks.temperature)
