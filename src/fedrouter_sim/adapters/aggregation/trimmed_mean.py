"""The coordinate-wise trimmed mean of adapters (Yin et al. 2018, arXiv:1803.01498)."""

from fedrouter_sim.adapters.aggregation.holding import Holding, part_of
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError


class TrimmedMean(Holding):
    """The mean of every weight of A and of B by itself, without the largest and the smallest values of it.

    Of n updates, `trim` n values are cut at each end, rounded up; one or two are always left, so that of few updates it
    is the median. Example counts do not matter, nor does the order of the updates. Memory: the adapters of all updates
    of the round, and one tensor of all of them at a time, in float64.

    Args:
        rank: of the result.
        trim: the share cut at each end, at least 0 (the plain mean, each update counting the same) and below 0.5.

    Raises:
        UserError: `trim` is not within its limits.
    """

    name = "trimmed-mean"

    def __init__(self, rank: int, trim: float = 0.1) -> None:
        super().__init__(rank)
        if not 0 <= trim < 0.5:
            raise UserError(f"--option trim={trim:g}: must be at least 0 and below 0.5, the share cut at each end")
        self.trim = trim

    def result(self) -> Adapter:
        """Return the trimmed mean in float32.

        Raises:
            ValueError: nothing was added.
        """
        count = len(self.adapters)
        cut = min(part_of(self.trim, count), (count - 1) // 2)
        return {key: values[cut : count - cut].double().mean(dim=0).float() for key, values in self.sorted_values()}
