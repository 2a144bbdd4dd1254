"""The noised means of a round's updates: each client's clipped as one vector, and noise put on each pool's sum once."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.messages import Update
from fedrouter_sim.randomness import torch_generator

Change = dict[str, Tensor]  # float64


class NoisedMeans:
    """What pools become in a round, by how their updates change them.

    A client's changes of all its pools are one vector, which is scaled down to `clip` where it is longer. A pool's new
    adapter is its old one plus (the sum of the clipped changes plus noise) over the number of clients that were to be
    expected, which is public and does not depend on who came. What is added is as it was trained, so updates that were
    kept from an earlier process are clipped and noised once, as all are; noise is keyed by round and pool.

    Args:
        clip: L2 norm.
        noise: standard deviation of the noise on each number of a sum, in units of `clip`.
        seed: the run's.
    """

    def __init__(self, clip: float, noise: float, seed: int) -> None:
        self._clip, self._noise, self._seed = clip, noise, seed
        self._expected: dict[str, float] = {}
        self._round = 0
        self._sums: dict[str, Change] = {}
        self._client: int | None = None
        self._of_client: dict[str, Change] = {}

    def expect(self, clients: Mapping[str, float]) -> None:
        """Say how many clients are to be expected in a round of each shared pool; those with none are left alone."""
        self._expected = {pool: count for pool, count in clients.items() if count > 0}

    def begin(self, round_: int) -> None:
        """Begin a round, of which nothing is there yet."""
        self._round, self._sums, self._of_client, self._client = round_, {}, {}, None

    def add(self, update: Update, start: Adapter) -> None:
        """Add an update; call in client order.

        Args:
            update: as it was trained.
            start: its pool's adapter at the start of the round.
        """
        if update.client != self._client:
            self._close_client()
            self._client = update.client
        change = {key: value.double() - start[key].double() for key, value in update.adapter.items()}
        _add(self._of_client, update.pool, change, 1.0)

    def result(self, starts: Mapping[str, Adapter]) -> dict[str, Adapter]:
        """Return the new adapter of every pool from which clients are to be expected, whoever came.

        Args:
            starts: pool -> its adapter at the start of the round.
        """
        self._close_client()
        made: dict[str, Adapter] = {}
        for pool, expected in sorted(self._expected.items()):
            generator = torch_generator(self._seed, "noise of updates", self._round, pool)
            change, start = self._sums.get(pool, {}), starts[pool]
            new: dict[str, Tensor] = {}
            for key in sorted(start):
                old = start[key].double()
                noise = torch.randn(old.shape, generator=generator, dtype=torch.float64) * self._noise * self._clip
                summed = change[key] + noise if key in change else noise
                new[key] = (old + summed / expected).to(start[key].dtype)
            made[pool] = {key: new[key] for key in start}
        self.begin(self._round)
        return made

    def _close_client(self) -> None:
        """Clip what a client sent, all of it together, and add it to the sums."""
        changes = [value for change in self._of_client.values() for value in change.values()]
        if changes:
            norm = float(torch.stack([change.square().sum() for change in changes]).sum().sqrt())
            scale = min(1.0, self._clip / norm) if norm > 0 else 1.0
            for pool, change in self._of_client.items():
                _add(self._sums, pool, change, scale)
        self._of_client = {}


def _add(sums: dict[str, Change], pool: str, change: Change, scale: float) -> None:
    if pool not in sums:
        sums[pool] = {key: torch.zeros_like(value) for key, value in change.items()}
    for key, value in change.items():
        sums[pool][key].add_(value, alpha=scale)
