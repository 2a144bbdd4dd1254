"""Server momentum for each pool (FedAvgM, Hsu et al. 2019), as a rule of the user's own: `--sharing FILE.py:CLASS`.

A pool's change is what it received and `BETA` times its change of the round before. Nothing is shared among tasks.
"""

from collections.abc import Mapping
from typing import ClassVar

from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.state import Adapter

BETA = 0.5


class Momentum(Sharing):
    """Keeps every pool's last change."""

    name: ClassVar[str] = "momentum"

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        """Return every pool's start, moved by its change; one that received nothing stays."""
        found = dict(round_.means)
        for pool, change in round_.changes.items():
            before = self.memory.get(pool)
            moved = {k: c + BETA * before[k].double() if before else c for k, c in change.items()}
            self.memory = {**self.memory, pool: {key: value.float() for key, value in moved.items()}}
            start = round_.starts[pool]
            found[pool] = {key: (start[key].double() + moved[key]).float() for key in round_.means[pool]}
        return found
