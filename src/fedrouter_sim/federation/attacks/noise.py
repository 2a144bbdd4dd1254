"""Noise: the update is random."""

from dataclasses import replace

import numpy as np
import torch

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.attacks.attack import Attack, checked_strength
from fedrouter_sim.messages import Update


class Noise(Attack):
    """Gaussian noise in place of the change that training made.

    Args:
        strength: the length of the noise that is to be expected, times that of the change.
    """

    name = "noise"

    def __init__(self, strength: float = 10.0) -> None:
        self._strength = checked_strength(strength)

    def update(self, update: Update, start: Adapter, generator: np.random.Generator) -> Update:
        """Draw each weight, in the order of the adapter's keys, by one deviation for all."""
        square = sum(float((v.double() - start[key].double()).square().sum()) for key, v in update.adapter.items())
        weights = sum(value.numel() for value in update.adapter.values())
        deviation = self._strength * (square / weights) ** 0.5
        drawn = {
            key: (start[key].double() + torch.from_numpy(generator.normal(0, deviation, tuple(v.shape)))).to(v.dtype)
            for key, v in update.adapter.items()
        }
        return replace(update, adapter=drawn)
