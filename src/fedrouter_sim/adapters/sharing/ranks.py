"""Shared plus own at one rank: of the r components of every adapter some are all tasks', and the rest its own."""

from collections.abc import Mapping

import torch

from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.sharing.work import combined, everyone
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError


class Ranks(Sharing):
    """y = W x + s (B_g A_g + B_t A_t) x in one adapter, exactly: the first rows of A and columns of B are shared by all
    tasks, the rest are the task's own. All adapters begin from the same A, and B = 0.

    Args:
        share: of the components that are shared, rounded to whole ones.

    Raises:
        UserError: `share` is not within [0, 1].
    """

    name = "ranks"

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise UserError(f"--option share={share:g}: must be at least 0 and at most 1, a share of the ranks")
        self.share = share

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return the means with their first components replaced by those of all; also where a pool received nothing,
        as the shared part is everybody's."""
        if not round_.changes:
            return round_.means
        together = combined(round_, everyone(round_.pools))
        return {pool: self._joined(together[pool], own) for pool, own in round_.means.items()}

    def _joined(self, together: Adapter, own: Adapter) -> Adapter:
        found: dict[str, torch.Tensor] = {}
        for key, value in own.items():
            dim = 1 if "lora_B" in key else 0  # A is (r, d_in), B is (d_out, r)
            rank = value.shape[dim]
            common = round(self.share * rank)
            parts = (together[key].narrow(dim, 0, common), value.narrow(dim, common, rank - common))
            found[key] = torch.cat(parts, dim=dim).contiguous()
        return found
