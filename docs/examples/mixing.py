"""A router of one's own: all task adapters answer together, the nearer ones with more weight.

fedrouter-sim train --router docs/examples/mixing.py:Mixing --option temperature=2
"""

import numpy as np

from fedrouter_sim import Landmarks, Routes, RoutingRule


class Mixing(RoutingRule):
    """Weights are a softmax of minus the distance to each task centroid over the temperature."""

    name = "mixing"

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = temperature

    def route(self, points: np.ndarray, landmarks: Landmarks) -> Routes:
        distances = np.linalg.norm(points[:, None] - landmarks.centroids, axis=2).astype(np.float64)  # (n, T)
        weights = np.exp((distances.min(axis=1, keepdims=True) - distances) / self.temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        ordered = np.sort(distances, axis=1)
        margin = ordered[:, 1] - ordered[:, 0] if distances.shape[1] > 1 else np.full(len(points), np.inf)
        return Routes(distances.argmin(axis=1), ordered[:, 0], margin, weights, weights.max(axis=1))
