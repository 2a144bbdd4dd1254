"""Scale: the update counts many times."""

from dataclasses import replace

import numpy as np

from fedrouter_sim.adapters.state import Adapter, with_change_scaled
from fedrouter_sim.federation.attacks.attack import Attack, checked_strength
from fedrouter_sim.messages import Update


class Scale(Attack):
    """The change that training made, many times as long.

    Args:
        strength: times its length.
    """

    name = "scale"

    def __init__(self, strength: float = 10.0) -> None:
        self._strength = checked_strength(strength)

    def update(self, update: Update, start: Adapter, generator: np.random.Generator) -> Update:
        """Go further the same way."""
        return replace(update, adapter=with_change_scaled(start, update.adapter, self._strength))
