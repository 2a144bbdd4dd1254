"""Sign flip: the update undoes what training did."""

from dataclasses import replace

import numpy as np

from fedrouter_sim.adapters.state import Adapter, with_change_scaled
from fedrouter_sim.federation.attacks.attack import Attack, checked_strength
from fedrouter_sim.messages import Update


class SignFlip(Attack):
    """The change that training made, turned round.

    Args:
        strength: times its length.
    """

    name = "sign-flip"

    def __init__(self, strength: float = 1.0) -> None:
        self._strength = checked_strength(strength)

    def update(self, update: Update, start: Adapter, generator: np.random.Generator) -> Update:
        """Go as far the other way."""
        return replace(update, adapter=with_change_scaled(start, update.adapter, -self._strength))
