"""Which adapters of a mixture by token a prompt leans on: their mean weights over its tokens and all modules."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.backbone.forward import Tokens, common_prefix, pad, run_prefix, run_rows
from fedrouter_sim.backbone.mixing import MixtureSlot


def mean_weights(
    body: Any, slot: MixtureSlot, prompts: Sequence[Tokens], opening: Tokens, parts: Sequence[Sequence[int]], fill: int
) -> NDArray[np.float64]:
    """Return the mean weight of each of K adapters in each of n prompts, (n, K); a row sums to 1.

    Args:
        body: the model without its head.
        slot: in use, with adapters that are weighed by token.
        prompts: at least one.
        opening: tokens that most prompts begin with; the weights of what a prompt has in common with it do not count.
        parts: the prompts that each pass takes; together all of them.
        fill: the token that padding consists of.
    """
    given = [common_prefix([opening, prompt], min(len(opening), len(prompt) - 1)) for prompt in prompts]
    shared = min(given)
    found: dict[int, NDArray[np.float64]] = {}
    for part in parts:
        past = run_prefix(body, opening[:shared], body.device)
        ids, mask = pad([prompts[row][shared:] for row in part], fill, body.device)
        counted = mask.clone()
        for place, row in enumerate(part):
            counted[place, : given[row] - shared] = 0  # whoever is asked along with it
        with slot.counting(counted) as sums:
            run_rows(body, past, ids, mask)
        means = sums.double() / sums.double().sum(dim=1, keepdim=True)
        found |= dict(zip(part, means.cpu().numpy(), strict=True))
    return np.stack([found[row] for row in range(len(prompts))])
