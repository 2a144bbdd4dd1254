"""The coordinate-wise median of adapters."""

from fedrouter_sim.adapters.aggregation.holding import Holding, middle
from fedrouter_sim.adapters.state import Adapter


class Median(Holding):
    """The median of every weight of A and of B by itself; of an even number, the mean of the two in the middle.

    Example counts do not matter: each update is one vote, so that who lies about its count gains nothing. No value
    leaves the range of the honest ones as long as they are the majority. The order of the updates does not matter.
    Memory: the adapters of all updates of the round, and one tensor of all of them at a time.
    """

    name = "median"

    def result(self) -> Adapter:
        """Return the median in float32.

        Raises:
            ValueError: nothing was added.
        """
        return {key: middle(values).float() for key, values in self.sorted_values()}
