"""The best guess of where a task wants to go, from all tasks' updates, by least squares."""

from collections.abc import Mapping

import numpy as np

from fedrouter_sim.adapters.sharing.gram import Gram, grams
from fedrouter_sim.adapters.sharing.layers import group_of_b, grouping
from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.sharing.work import moved
from fedrouter_sim.adapters.state import Adapter


class Estimate(Sharing):
    """A task's change is a combination of all tasks' changes.

    Its direction is the nearest, on average over the noise of training, to what the task's own change would be without
    noise. With G the inner products of the changes, and g those with the task's, its own noise taken off, that is
    w = G^-1 g. A task whose updates are sure is taken alone; one whose updates are noise takes of the others as much as
    they agree.

    It goes as far in the task's own direction as the task's own change does. Larger steps, for what a client's other
    tasks did for this one, were tried and lost: noise grows with them.

    Inner products are those of the B factors' changes. Nothing is kept between rounds.

    Args:
        by: 'adapter': one combination for all tensors; 'layer': one for those of every layer.

    Raises:
        UserError: it is neither.
    """

    name = "estimate"

    def __init__(self, by: str = "adapter") -> None:
        super().__init__()
        self.group_of = grouping(by)

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return every pool's start with its estimated change; one that received nothing stays."""
        found = dict(round_.means)
        if not round_.changes:
            return found
        now = grams(round_, group_of_b(self.group_of))
        for place, pool in enumerate(round_.changes):
            weights = {group: estimated(gram, place) for group, gram in now.items()}
            start, mean = round_.starts[pool], round_.means[pool]
            found[pool] = {
                key: moved(start, {key: value}, round_.changes, weights[self.group_of(key)])[key]
                for key, value in mean.items()
            }
        return found


def estimated(gram: Gram, place: int) -> dict[str, float]:
    """Return the weights of all pools' changes in that of the pool at a place of `gram`."""
    pool, own = gram.pools[place], float(gram.clean[place])
    if not own > 0:
        return {pool: 1.0}
    wanted = gram.products[place].copy()
    wanted[place] = own
    solved = np.linalg.lstsq(gram.products, wanted, rcond=1e-9)[0]
    along = float(wanted @ solved)  # how far the combination goes in the task's direction, times its length
    if not along > 0:
        return {pool: 1.0}
    return {other: own / along * float(weight) for other, weight in zip(gram.pools, solved, strict=True)}
