"""The geometric median of adapters (Weiszfeld's iteration with smoothing; Pillutla et al. 2022, arXiv:1912.13445)."""

import torch

from fedrouter_sim.adapters.aggregation.holding import Holding, middle
from fedrouter_sim.adapters.state import Adapter

ITERATIONS = 64
SMOOTHING = 1e-6  # the least distance that counts, so that an update where the iteration stands does not hold it


class GeometricMedian(Holding):
    """The point whose distances to the updates, over all weights of A and of B together, have the least sum, weighted
    by example counts.

    It keeps near the honest updates as long as more than half of the *weight* is theirs, so counts have to be checked
    (the server does, against what clients declared). Weiszfeld's iteration in float64 starts from the coordinate-wise
    median, which a huge outlier does not move, and takes 64 steps, always: the same updates in the same order give the
    same bits, and in another order the same up to rounding. Memory: the adapters of all updates of the round three
    times, as they are copied in float64.
    """

    name = "geometric-median"

    def result(self) -> Adapter:
        """Return the geometric median in float32.

        Raises:
            ValueError: nothing was added.
        """
        start = torch.cat([middle(values).reshape(-1) for _, values in self.sorted_values()])
        points = start.new_empty(len(self.adapters), len(start))
        for point, vector in zip(points, self.vectors(), strict=True):
            point.copy_(vector)
        weights = torch.tensor(self.weights, dtype=torch.float64)
        weights /= weights.sum()
        found = start
        for _ in range(ITERATIONS):
            distances = torch.stack([torch.linalg.vector_norm(point - found) for point in points])
            pulls = weights / distances.clamp(min=SMOOTHING)
            found = (pulls / pulls.sum()) @ points
        like = self.adapters[0]
        parts = found.float().split([value.numel() for value in like.values()])
        return {key: part.reshape(value.shape) for part, (key, value) in zip(parts, like.items(), strict=True)}
