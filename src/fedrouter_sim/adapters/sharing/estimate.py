"""The best guess of where a task wants to go, from all tasks' updates: least squares, with nothing to set."""

from collections.abc import Mapping

import numpy as np

from fedrouter_sim.adapters.sharing.gram import grams
from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.sharing.work import moved
from fedrouter_sim.adapters.state import Adapter


class Estimate(Sharing):
    """A task's change is the combination sum_s w_s D_s of all tasks' that is nearest, on average over the noise of
    training, to `gain` times what the task's change would be without noise: w = gain * G^-1 g, with G the inner
    products of the changes, and g those with the task's without its own noise. Where a task's updates are sure they are
    taken alone; where they are noise, so much as others agree.

    Args:
        power: of examples of the pool's clients / those of its task, which is the gain (`steps`).
    """

    name = "estimate"

    def __init__(self, power: float = 0.0) -> None:
        super().__init__()
        self.power = power

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return every pool's start with its estimated change; one that received nothing stays."""
        found = dict(round_.means)
        if not round_.changes:
            return found
        gram = grams(round_, lambda key: "B" if "lora_B" in key else None, denoised=True)["B"]
        for place, pool in enumerate(gram.pools):
            own = [client for client in round_.held if client.get(pool)]
            all_of_them = sum(client[pool] * sum(client.values()) for client in own)
            gain = (all_of_them / sum(client[pool] ** 2 for client in own)) ** self.power
            wanted = gram.products[place].copy()
            wanted[place] = gram.clean[place]
            solved = np.linalg.lstsq(gram.products, wanted, rcond=1e-10)[0]
            length = float(wanted @ solved) / max(float(gram.clean[place]), 1e-30)
            weights = {other: gain * float(w) / max(length, 0.1) for other, w in zip(gram.pools, solved, strict=True)}
            found[pool] = moved(round_.starts[pool], round_.means[pool], round_.changes, weights)
        return found
