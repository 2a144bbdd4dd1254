"""Inner products of the pools' changes, and how long they would be without the noise of training."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedrouter_sim.adapters.sharing.rule import SharedRound

LEAST_SHARE = 0.1
"""The least share of a change's squared length that is not taken for noise; of sketches, `affinities/gradient.py` has
one."""


@dataclass(frozen=True)
class Gram:
    """Inner products of the changes of n pools."""

    pools: tuple[str, ...]
    products: NDArray[np.float64]  # (n, n), as they were
    clean: NDArray[np.float64]  # (n,), squared lengths with the noise taken off


def gram_of(round_: SharedRound) -> Gram:
    """Return the inner products of a round's changes of B factors. Those of A say little: all began with the same A,
    which moves by noise as long as B is small.

    The updates of a pool differ by what each client drew; of n such updates with weights p the mean's squared length is
    on average that of the common change and sum(p^2) times the variance, and the mean of their squared lengths is it
    and the variance. The two give the common change's. A pool of one update is taken to be as reliable as the others
    are on average, and as it is where there are none.

    Args:
        round_: with at least one pool that received something.
    """
    pools = tuple(round_.changes)
    keys = sorted(key for key in round_.starts[pools[0]] if "lora_B" in key)
    products = np.zeros((len(pools), len(pools)))
    for key in keys:
        rows = torch.stack([round_.changes[pool][key].reshape(-1) for pool in pools])
        products += (rows @ rows.T).numpy()  # by torch, whose threads a run counts and keeps to
    whole = products.diagonal().copy()
    reliable = np.full(len(pools), np.nan)
    for place, pool in enumerate(pools):
        if pool not in round_.squares:
            continue
        share = round_.square_counts[pool] / round_.examples[pool] ** 2  # sum(p^2): 1 / n of n equal ones
        single = sum(round_.squares[pool][key] for key in keys)
        if share < 1 and single > 0 and whole[place] > 0:
            common = (whole[place] - share * single) / (1 - share)
            reliable[place] = min(max(common / whole[place], LEAST_SHARE), 1.0)
    known = reliable[~np.isnan(reliable)]
    filled = np.where(np.isnan(reliable), known.mean() if len(known) else 1.0, reliable)
    return Gram(pools, products, whole * filled)
