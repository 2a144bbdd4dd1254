"""How updates of several pools become one change: the work of a client summed, that of several clients averaged.

A client with two tasks takes half of its steps for each. If both tasks want the same, what it did for either is what it
did for both, one after the other: the sum. What several clients did side by side is averaged, as ever. So where all
agree this is FedAvg, to first order, and where none agree every pool has the mean of its own updates.
"""

from collections.abc import Mapping, Sequence

from fedrouter_sim.adapters.sharing.rule import Change
from fedrouter_sim.adapters.state import Adapter


def work_weights(held: Sequence[Mapping[str, float]], pool: str, agreement: Mapping[str, float]) -> dict[str, float]:
    """Return by what weights the mean changes of all pools make the change of one.

    A client counts by how many examples it has of the pool's task, those of another task by their agreement. With c
    over clients, n examples and a the agreement: w_s = a_s * (sum of n_c over clients that hold s) / (sum of n_c over
    all), where n_c is the sum of a_r n_cr over r.

    Args:
        held: of each client: pool -> examples.
        pool: the one whose change is made.
        agreement: of the other pools with it, how much of what was done for them was done for it, in [0, 1]; 0 where
            one is missing.
    """
    agreeing = {**agreement, pool: 1.0}
    counts = [sum(agreeing.get(other, 0.0) * n for other, n in own.items()) for own in held]
    total = sum(counts)
    if not total:
        return {}
    others = dict.fromkeys(other for own in held for other in own)
    weights = {
        other: agreeing.get(other, 0.0) * sum(n for own, n in zip(held, counts, strict=True) if other in own) / total
        for other in others
    }
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
