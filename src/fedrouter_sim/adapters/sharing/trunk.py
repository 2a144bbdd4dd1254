"""Trunk and branches: tasks are one adapter until their updates disagree, and then each goes its own way."""

from collections.abc import Mapping

import torch

from fedrouter_sim.adapters.sharing.gram import grams
from fedrouter_sim.adapters.sharing.layers import group_of_b, grouping
from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.sharing.work import combined, everyone
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError

_IN = "in"


class Trunk(Sharing):
    """All task pools are one adapter at first. A pool leaves, for good, in the round in which its change and that of
    the others have a cosine below `leave`; after a share `until` of the rounds all have left. A pool that appears later
    has grown from a branch, and is one.

    Cosines are those of the B factors, without the noise of training.

    Args:
        until: share of the rounds after which no trunk is left.
        leave: cosine below which a pool leaves; -1: none leaves before `until`.

    Raises:
        UserError: a value is outside its limits.
    """

    name = "trunk"

    def __init__(self, until: float = 1.0, leave: float = 0.5) -> None:
        super().__init__()
        if not 0 <= until <= 1:
            raise UserError(f"--option until={until:g}: must be at least 0 and at most 1, a share of the rounds")
        if not -1 <= leave <= 1:
            raise UserError(f"--option leave={leave:g}: must be within [-1, 1], a cosine")
        self.until, self.leave = until, leave

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return one adapter for all that are in the trunk after this round, and the means of all others."""
        first = not self.memory
        known = {pool: first or bool(self.memory.get(pool, {_IN: torch.zeros(1)})[_IN]) for pool in round_.pools}
        inside = [pool for pool, there in known.items() if there]
        if round_.number > self.until * round_.rounds:
            inside = []
        inside = self._staying(round_, inside)
        self.memory = {pool: {_IN: torch.tensor([float(pool in inside)])} for pool in round_.pools}
        return {**round_.means, **combined(round_, everyone(inside))} if inside else round_.means

    def _staying(self, round_: SharedRound, inside: list[str]) -> list[str]:
        """Return the pools that agree with the rest of the trunk, of which two at least remain or none."""
        active = [pool for pool in inside if pool in round_.changes]
        if len(active) > 1 and self.leave > -1:
            [gram] = grams(round_, group_of_b(grouping("adapter"))).values()
            places = {pool: gram.pools.index(pool) for pool in active}
            cosines = gram.cosines()
            gone = set()
            for pool, mine in places.items():
                others = [place for other, place in places.items() if other != pool]
                counts = [round_.examples[gram.pools[place]] for place in others]
                cosine = sum(n * cosines[mine, place] for n, place in zip(counts, others, strict=True))
                if cosine / sum(counts) < self.leave:
                    gone.add(pool)
            inside = [pool for pool in inside if pool not in gone]
        return inside if len(inside) > 1 else []
