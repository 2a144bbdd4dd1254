"""Sharing by affinity: a task takes of the others' updates as much as they agree with its own."""

from collections.abc import Mapping

import numpy as np
import torch

from fedrouter_sim.adapters.sharing.gram import Gram, grams
from fedrouter_sim.adapters.sharing.layers import group_of_b, grouping
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
        by: 'adapter': one cosine for all; 'layer': one for every layer.
        of: 'updates' are shared, or the 'adapters' themselves: then tasks are also drawn together.

    Raises:
        UserError: a value is outside its limits.
    """

    name = "affinity"

    def __init__(self, power: float = 2.0, keep: float = 1.0, by: str = "adapter", of: str = "updates") -> None:
        super().__init__()
        if power <= 0:
            raise UserError(f"--option power={power:g}: must be above 0")
        if not 0 <= keep <= 1:
            raise UserError(f"--option keep={keep:g}: must be within [0, 1]")
        if of not in ("updates", "adapters"):
            raise UserError(f"--option of={of}: choose updates or adapters")
        self.power, self.keep, self.group_of, self.adapters = power, keep, grouping(by), of == "adapters"

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return every pool's start with its share of all changes; one that received nothing stays."""
        if not round_.changes:
            return round_.means
        found = dict(round_.means)
        now = grams(round_, group_of_b(self.group_of))
        self.memory, agreements = remembered(self.memory, now, self.keep)
        for pool in round_.changes:
            made: dict[str, torch.Tensor] = {}
            for group, agreement in agreements.items():
                keys = [key for key in round_.starts[pool] if self.group_of(key) == group]
                own = {other: max(cosine, 0.0) ** self.power for other, cosine in agreement[pool].items()}
                weights = work_weights(round_.held, pool, own)
                made |= self._made(round_, pool, keys, weights)
            found[pool] = {key: made[key] for key in round_.starts[pool]}
        return found

    def _made(self, round_: SharedRound, pool: str, keys: list[str], weights: dict[str, float]) -> Adapter:
        start = {key: round_.starts[pool][key].double() for key in keys}
        if self.adapters:
            total = sum(weights.values())
            start = {
                key: sum(w / total * round_.starts[other][key].double() for other, w in weights.items())  # type: ignore[misc]
                for key in keys
            }
        return moved(start, {key: round_.means[pool][key] for key in keys}, round_.changes, weights)


def remembered(
    memory: Memory, now: Mapping[str, Gram], keep: float
) -> tuple[Memory, Mapping[str, Mapping[str, Mapping[str, float]]]]:
    """Add a round's inner products to those before.

    Each round's are brought to a mean squared length of 1 first: as the learning rate falls, changes get smaller.

    Returns:
        What to keep, and of each group the cosines: pool -> pool -> cosine.
    """
    new: Memory = {}
    cosines: dict[str, dict[str, dict[str, float]]] = {}
    for group, gram in now.items():
        sums = dict(memory.get(group, {}))
        scale = float(gram.clean.mean()) or 1.0
        for i, one in enumerate(gram.pools):
            for j, other in enumerate(gram.pools[: i + 1]):
                value = np.array([gram.clean[i] if i == j else gram.products[i, j]])
                # Both lengths go with the product: a pool that was away has other rounds behind it than its partner.
                value = np.append(value, [gram.clean[i], gram.clean[j]]) / scale
                name = f"{one}:{other}"
                before = sums[name].numpy() if name in sums else np.zeros(3)
                sums[name] = torch.from_numpy(keep * before + value)
        new[group] = sums
        of_group: dict[str, dict[str, float]] = {pool: {} for pool in gram.pools}
        for i, one in enumerate(gram.pools):
            for other in gram.pools[: i + 1]:
                product, mine, theirs = sums[f"{one}:{other}"].tolist()
                cosine = product / (mine * theirs) ** 0.5 if mine * theirs > 0 else 0.0
                of_group[one][other] = of_group[other][one] = min(max(cosine, -1.0), 1.0)
        cosines[group] = of_group
    return {**memory, **new}, cosines
