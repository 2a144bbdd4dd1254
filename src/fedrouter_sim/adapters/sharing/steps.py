"""Every pool by itself, at a larger step: as if its clients had taken all of their steps for it."""

from collections.abc import Mapping

import torch

from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.sharing.work import moved
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError


class Steps(Sharing):
    """A pool's change, times (examples of its clients / those of its task) to a power, with momentum.

    Args:
        power: 0: the change as it is; 1: as large as all steps of the clients would have made it, to first order.
        momentum: share of the last round's change that is added; 0: none.

    Raises:
        UserError: `power` is negative, or `momentum` is not within [0, 1).
    """

    name = "steps"

    def __init__(self, power: float = 0.5, momentum: float = 0.0) -> None:
        super().__init__()
        if power < 0:
            raise UserError(f"--option power={power:g}: must be at least 0")
        if not 0 <= momentum < 1:
            raise UserError(f"--option momentum={momentum:g}: must be at least 0 and below 1")
        self.power, self.momentum = power, momentum

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return every pool's start with its own larger change; one that received nothing stays."""
        found = dict(round_.means)
        memory = dict(self.memory)
        for pool, change in round_.changes.items():
            own = [client for client in round_.held if client.get(pool)]
            all_of_them = sum(n * sum(client.values()) for client in own for n in [client[pool]])
            rate = float(all_of_them / sum(client[pool] ** 2 for client in own)) ** self.power
            before = memory.get(pool, {})
            step = {
                key: rate * value + self.momentum * before[key].double() if key in before else rate * value
                for key, value in change.items()
            }
            found[pool] = moved(round_.starts[pool], round_.means[pool], {pool: step}, {pool: 1.0})
            if self.momentum:
                memory[pool] = {key: value.to(torch.float32) for key, value in step.items()}
        self.memory = memory
        return found
