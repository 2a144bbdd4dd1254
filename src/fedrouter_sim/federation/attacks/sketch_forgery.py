"""Sketch forgery: local clusters say that they are of another task, and are sure of it."""

from dataclasses import replace

import numpy as np

from fedrouter_sim.clustering.normalizing import unit_rows
from fedrouter_sim.federation.attacks.attack import Attack
from fedrouter_sim.messages import CentroidMessage


class SketchForgery(Attack):
    """Each local cluster gives the gradient sketch of the one of the client's that is least like it, in both halves.

    The halves then agree to the last digit, as those of no honest cluster do, so that the sketch passes for free of
    noise. A client with one local cluster turns its own sketch round.
    """

    name = "sketch-forgery"

    def clusters(self, message: CentroidMessage, generator: np.random.Generator) -> CentroidMessage:
        """Forge the halves, where they are asked for."""
        if message.halves is None:
            return message
        whole = message.halves.sum(axis=1, dtype=np.float32)
        if len(whole) == 1:
            claimed = -whole
        else:
            units = unit_rows(whole)
            claimed = whole[(units @ units.T).argmin(axis=1)]
        halves = np.repeat(claimed[:, None] / 2, 2, axis=1)
        return replace(message, halves=halves)
