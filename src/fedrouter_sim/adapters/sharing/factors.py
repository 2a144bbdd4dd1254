"""Shared factors: A of all tasks together, B of each task; and lower layers whole of all."""

from collections.abc import Mapping

from fedrouter_sim.adapters.sharing.layers import layer_of
from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.sharing.work import combined, everyone
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError


class Factors(Sharing):
    """A is shared by all tasks, and each has a B of its own; of the lower layers B is shared as well.

    Args:
        layers: share of the adapted layers, from below, that are shared whole, rounded to whole ones.
        a: whether A is shared above them.

    Raises:
        UserError: `layers` is not within [0, 1].
    """

    name = "factors"

    def __init__(self, layers: float = 0.0, a: bool = True) -> None:
        super().__init__()
        if not 0 <= layers <= 1:
            raise UserError(f"--option layers={layers:g}: must be at least 0 and at most 1, a share of the layers")
        self.layers, self.a = layers, a

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return the means with the shared tensors replaced by those of all; also where a pool received nothing, as the
        shared part is everybody's."""
        if not round_.changes:
            return round_.means
        numbers = sorted({layer_of(key) for own in round_.means.values() for key in own}, key=lambda n: int(n or 0))
        lower = set(numbers[: round(self.layers * len(numbers))])
        together = combined(round_, everyone(round_.pools))
        return {
            pool: {key: together[pool][key] if self._common(key, lower) else value for key, value in own.items()}
            for pool, own in round_.means.items()
        }

    def _common(self, key: str, lower: set[str]) -> bool:
        return layer_of(key) in lower or (self.a and "lora_A" in key)
