"""Sharing by affinity: a task takes of the others' updates as much as they agree with its own."""

from collections.abc import Mapping

import torch

from fedrouter_sim.adapters.sharing.gram import Gram, gram_of
from fedrouter_sim.adapters.sharing.rule import Memory, SharedRound, Sharing
from fedrouter_sim.adapters.sharing.work import moved, work_weights
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError


class Affinity(Sharing):
    """A task's change is made of all tasks' (`work`), each by max(cosine, 0) to a power: FedAvg, to first order, where
    all agree, and each task's own where none do.

    Cosines are of the B factors' changes, without the noise of training, and of all rounds so far: inner products and
    squared lengths are added up, those of a round before counting `keep` times.

    Args:
        power: of the cosine.
        keep: how much a round before counts against this one, in [0, 1].

    Raises:
        UserError: a value is outside its limits.
    """

    name = "affinity"

    def __init__(self, power: float = 2.0, keep: float = 1.0) -> None:
        super().__init__()
        if power <= 0:
            raise UserError(f"--option power={power:g}: must be above 0")
        if not 0 <= keep <= 1:
            raise UserError(f"--option keep={keep:g}: must be within [0, 1]")
        self.power, self.keep = power, keep

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return every pool's start with its share of all changes; one that received nothing stays."""
        if not round_.changes:
            return round_.means
        self.memory = remembered(self.memory, gram_of(round_), self.keep)
        found = dict(round_.means)
        for pool in round_.changes:
            agreement = {other: max(cosine(self.memory, pool, other), 0.0) ** self.power for other in round_.changes}
            weights = work_weights(round_.held, pool, agreement, round_.summed)
            found[pool] = moved(round_.starts[pool], round_.means[pool], round_.changes, weights)
        return found


def remembered(memory: Memory, now: Gram, keep: float) -> Memory:
    """Return the sums of each pair of pools with those of a round added: inner product, and both squared lengths.

    Each round's are brought to a mean squared length of 1 first: as the learning rate falls, changes get smaller. Both
    lengths go with the product, as a pool that was away has other rounds behind it than its partner.

    Args:
        memory: pool -> pool, before it in the order of the plan, or the same -> the three sums.
        now: of the round.
        keep: how much the sums so far count.
    """
    new: Memory = {one: {other: keep * sums for other, sums in own.items()} for one, own in memory.items()}
    scale = float(now.clean.mean()) or 1.0
    for i, one in enumerate(now.pools):
        sums = dict(new.get(one, {}))
        for j, other in enumerate(now.pools[: i + 1]):
            product = now.clean[i] if i == j else now.products[i, j]
            values = torch.tensor([product, now.clean[i], now.clean[j]], dtype=torch.float64) / scale
            sums[other] = sums[other] + values if other in sums else values
        new[one] = sums
    return new


def cosine(memory: Memory, one: str, other: str) -> float:
    """Return the cosine of what two pools' changes were over all rounds that count, within [-1, 1]."""
    sums = memory[one][other] if other in memory[one] else memory[other][one]
    product, mine, theirs = sums.tolist()
    return min(max(product / (mine * theirs) ** 0.5, -1.0), 1.0) if mine * theirs > 0 else 0.0
