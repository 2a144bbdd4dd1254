"""How updates of several pools become one change: the work of a client summed, that of several clients averaged.

A client with two tasks takes half of its steps for each. If both tasks want the same, what it did for either is what it
did for both, one after the other: the sum. What several clients did side by side is averaged, as ever. So where all
agree this is FedAvg, to first order, and where none agree every pool has the mean of its own updates. Where each task
has all of a client's steps, its work is not the sum of its changes but their mean.
"""

from collections.abc import Mapping, Sequence

from fedrouter_sim.adapters.sharing.rule import Change
from fedrouter_sim.adapters.state import Adapter


def work_weights(
    held: Sequence[Mapping[str, float]], pool: str, agreement: Mapping[str, float], summed: bool = True
) -> dict[str, float]:
    """Return by what weights the mean changes of all pools make the change of one.

    With c over clients, n examples and a the agreement, n_c is the sum of a_r n_cr over r, and A_c the largest a_r of
    what the client has. It counts by n_c A_c: by how many of its examples are of the pool's task or of a like one, and
    by how like that one is. Then w_s = a_s * (sum of n_c f_cs over clients that hold s) / (sum of n_c A_c over all).
    Where the changes of a client are `summed`, f_cs is 1; else it is A_c n_cs / n_c, so that all that agrees is weighed
    together as one change. Where each client has one task this is a mean: the weights sum to 1, however few examples
    the pool has, and whatever the agreement.

    Args:
        held: of each client: pool -> examples.
        pool: the one whose change is made.
        agreement: of the other pools with it, how much of what was done for them was done for it, in [0, 1]; 0 where
            one is missing.
        summed: whether a client's pools share its steps; else each has all of them.
    """
    agreeing = {**agreement, pool: 1.0}
    most = [max((agreeing.get(other, 0.0) for other in own), default=0.0) for own in held]
    counts = [sum(agreeing.get(other, 0.0) * n for other, n in own.items()) for own in held]
    total = sum(n * a for n, a in zip(counts, most, strict=True))
    if not total:
        return {}

    def counting(other: str) -> float:
        if summed:
            return sum(n for own, n in zip(held, counts, strict=True) if other in own)
        return sum(own[other] * a for own, a in zip(held, most, strict=True) if other in own)

    others = dict.fromkeys(other for own in held for other in own)
    weights = {other: agreeing.get(other, 0.0) * counting(other) / total for other in others}
    return {other: weight for other, weight in weights.items() if weight}


def moved(start: Adapter, mean: Adapter, changes: Mapping[str, Change], weights: Mapping[str, float]) -> Adapter:
    """Return a start with a weighted sum of changes, in float32.

    Args:
        start: the pool's adapter before the round.
        mean: the pool's own; it has the keys that are made, in their order.
        changes: pool -> its change.
        weights: pool -> weight.
    """
    return {
        key: (start[key].double() + sum(weight * changes[other][key] for other, weight in weights.items())).to(
            mean[key].dtype
        )
        for key in mean
    }
