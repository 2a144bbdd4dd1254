"""What passes between client and server: the same messages that a real network would carry, and never a text."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.adapters.state import Adapter, adapter_bytes


@dataclass(frozen=True)
class CentroidMessage:
    """A client's local clusters, sent once before round 1."""

    client: int
    centroids: NDArray[np.float32]  # (k, d), normalised
    sizes: NDArray[np.int64]  # (k,), examples in each cluster
    answer_tokens: NDArray[np.int64]  # (k,), longest training response of each cluster, in tokens

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent."""
        return self.centroids.nbytes + self.sizes.nbytes + self.answer_tokens.nbytes


@dataclass(frozen=True)
class Pull:
    """A proximal term: strength / 2 times the squared distance of (A, B) to a pool's adapter of the round's start."""

    pool: str
    strength: float


@dataclass(frozen=True)
class Group:
    """The examples of one client that train one adapter together."""

    client: int
    rank: int  # among its client's groups, by first example
    examples: tuple[int, ...]  # positions in the client's list, ascending
    pool: str
    clusters: tuple[int, ...] = ()  # local clusters it is made of, where the method clusters
    pull: Pull | None = None
    steps: int | None = None  # optimizer steps a round, where the method fixes them; else a share of the client's


@dataclass(frozen=True)
class Update:
    """What a client sends back after training one group; one of a private pool stays with the client."""

    client: int
    group: int  # rank of the group
    pool: str
    round: int
    examples: int  # number of training examples of the group: its weight
    clusters: tuple[int, ...]
    adapter: Adapter
    loss: float  # mean over steps
    steps: int  # optimizer steps
    tokens: int  # real tokens trained on

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent: the adapter."""
        return adapter_bytes(self.adapter)
