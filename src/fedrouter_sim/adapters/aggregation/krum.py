"""Krum: the one update that lies nearest to most others (Blanchard et al. 2017, arXiv:1703.02757)."""

import torch

from fedrouter_sim.adapters.aggregation.holding import Holding, part_of
from fedrouter_sim.adapters.state import Adapter, adapter_digest
from fedrouter_sim.errors import UserError


class Krum(Holding):
    """The adapter of the update whose n - f - 2 nearest others are nearest, by the sum of squared distances over all
    weights of A and of B; f of the n updates may be hostile.

    f is `attackers` n, rounded up. Of updates with equal sums (of three, two always have them) the one of the smallest
    digest is taken, so the order of the updates does not matter, and example counts do not matter either. Memory: the
    adapters of all updates of the round twice, and an (n, n) matrix; time grows with n squared.

    Args:
        rank: of the result.
        attackers: the share of a pool's updates that may be hostile, at least 0 and below 0.5.

    Raises:
        UserError: `attackers` is not within its limits.
    """

    name = "krum"

    def __init__(self, rank: int, attackers: float = 0.2) -> None:
        super().__init__(rank)
        if not 0 <= attackers < 0.5:
            raise UserError(
                f"--option attackers={attackers:g}: must be at least 0 and below 0.5, the share of a pool's updates "
                "that may be hostile"
            )
        self.attackers = attackers

    def result(self) -> Adapter:
        """Return the chosen adapter, in float32.

        Raises:
            UserError: there are fewer than 2 f + 3 updates.
            ValueError: nothing was added.
        """
        vectors = list(self.vectors())
        count = len(vectors)
        hostile = part_of(self.attackers, count)
        if count < 2 * hostile + 3:
            raise UserError(
                f"--aggregation krum: a pool has {count} updates and needs {2 * hostile + 3}, which is 2 f + 3 for "
                f"f = {hostile} hostile ones (--option attackers={self.attackers:g}); lower attackers, or have more "
                "updates in a pool: more --clients or --participation, fewer --tasks, or --aggregation median"
            )
        squares = torch.zeros(count, count, dtype=torch.float64)
        for one in range(count):
            mine = vectors[one].double()
            for other in range(one):
                squares[one, other] = squares[other, one] = (mine - vectors[other].double()).square().sum()
        # Sorted before they are summed: then the bits of a sum do not depend on the order of the updates.
        scores = squares.sort(dim=1).values[:, 1 : count - hostile - 1].sum(dim=1).tolist()
        best = [place for place, score in enumerate(scores) if score == min(scores)]
        chosen = min((self.adapters[place] for place in best), key=adapter_digest)
        return {key: value.float() for key, value in chosen.items()}
