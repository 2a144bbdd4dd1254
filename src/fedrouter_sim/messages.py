"""All that leaves a client, and what clients are told: frozen records of numbers, never a text of anyone's examples.

`nbytes` is the size of a message as sent. One whose size is 0 is too small to be counted, or stays with the client in
a real federation: the simulation, which plays all parts, keeps it for its records.
"""

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.adapters.state import Adapter, adapter_bytes
from fedrouter_sim.arrays import Floats, Ints

SENT_SKETCH = np.float16
"""The type of sketches as sent: its rounding, of one in 2,000, is far below the noise of few rows."""


class Message(Protocol):
    """What all messages have in common."""

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent."""
        ...


@dataclass(frozen=True)
class ClientFacts:
    """What a plan needs to know of every client. Four numbers, too small to be counted."""

    id: int
    examples: int  # training examples
    answer_tokens: int  # longest training response in tokens, EOS included
    cut: int = 0  # training instructions that were cut to fit
    nbytes: int = 0


@dataclass(frozen=True)
class FeatureSums:
    """What a client tells of its embeddings before local clustering: enough for the mean and deviation of all."""

    count: int
    total: NDArray[np.float64]  # (d,)
    total_squares: NDArray[np.float64]  # (d,)

    @classmethod
    def of(cls, embeddings: Floats) -> Self:
        """Sum the features of (n, d) embeddings."""
        values = embeddings.astype(np.float64)
        return cls(len(values), values.sum(axis=0), (values**2).sum(axis=0))

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent: both sums and the count."""
        return self.total.nbytes + self.total_squares.nbytes + 8


@dataclass(frozen=True)
class Agreement:
    """How well a client's local clusters agree in their gradients, by the embeddings of each of several layers."""

    client: int
    cosines: NDArray[np.float64]  # (k,), mean cosine of the sketches of two rows of a cluster
    rows: int  # sketched ones

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent, with eight bytes for the number of rows."""
        return self.cosines.nbytes + 8


@dataclass(frozen=True)
class CentroidMessage:
    """A client's local clusters, sent before round 1."""

    client: int
    centroids: Floats  # (k, d), normalised
    sizes: Ints  # (k,), examples in each cluster
    answer_tokens: Ints  # (k,), longest training response of each cluster, in tokens
    halves: NDArray[Any] | None = None  # (k, 2, m), sums of the sketches of two halves of some rows, as SENT_SKETCH

    def __post_init__(self) -> None:
        """Round the sketches to the type that they are sent as; what it cannot hold becomes infinite."""
        if self.halves is not None and self.halves.dtype != SENT_SKETCH:
            with np.errstate(over="ignore"):
                object.__setattr__(self, "halves", self.halves.astype(SENT_SKETCH))

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent."""
        sketches = 0 if self.halves is None else self.halves.nbytes
        return self.centroids.nbytes + self.sizes.nbytes + self.answer_tokens.nbytes + sketches

    def taken(self, clusters: Ints) -> "CentroidMessage":
        """Return the message of some of the clusters, by their places."""
        halves = None if self.halves is None else self.halves[clusters]
        return CentroidMessage(
            self.client, self.centroids[clusters], self.sizes[clusters], self.answer_tokens[clusters], halves
        )

    def joined(self, other: "CentroidMessage") -> "CentroidMessage":
        """Return one message of these clusters and the same client's others; with sketches where both have them."""
        both = self.halves is not None and other.halves is not None
        return CentroidMessage(
            self.client,
            np.concatenate([self.centroids, other.centroids]),
            np.concatenate([self.sizes, other.sizes]),
            np.concatenate([self.answer_tokens, other.answer_tokens]),
            np.concatenate([self.halves, other.halves]) if both else None,
        )


@dataclass(frozen=True)
class Grouping:
    """How a client has grouped its own examples. It stays with the client."""

    client: int
    labels: Ints  # (n,), part of each example; parts are numbered by first example
    names: tuple[str, ...]  # (k,), what each part is
    answer_tokens: Ints  # (k,), longest training response of each part, in tokens
    nbytes: int = 0


@dataclass(frozen=True)
class LocalClusters:
    """A client's local clustering: what it sends, and which example is in which cluster, which it keeps."""

    sent: CentroidMessage
    grouping: Grouping
    tasks: tuple[int, ...] = ()  # of each cluster, where the client knows them; sent along

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent: the centroids, sizes and lengths, and eight bytes for the number of a task."""
        return self.sent.nbytes + 8 * len(self.tasks)


@dataclass(frozen=True)
class RowTasks:
    """To which task each of a client's examples belongs. It stays with the client."""

    client: int
    tasks: Ints  # (n,)
    nbytes: int = 0


@dataclass(frozen=True)
class UnseenRows:
    """Which of a client's examples count as unseen. It sends how many there are, and how many others."""

    client: int
    rows: Ints  # positions, ascending; they stay with the client
    examples: int  # of the client, in all
    nbytes: int = 16


@dataclass(frozen=True)
class Reach:
    """How far a client's calibration rows lie from the tasks."""

    client: int
    quantiles: Floats  # (T, 25), of distances to the nearest prototype, by the task of it; zeros where none
    counts: Ints  # (T,), rows of each task
    losses: NDArray[np.float64]  # (33,), mean negative log likelihood of the rows' tasks at each temperature, in nats

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent: the quantiles of the tasks that have any, all counts, and the losses."""
        return self.quantiles[self.counts > 0].nbytes + self.counts.nbytes + self.losses.nbytes


@dataclass(frozen=True)
class Tasks:
    """What the server tells a client of the tasks: where they lie, and where its own local clusters belong."""

    client: int
    assignment: tuple[int, ...]  # task of each of the client's local clusters
    landmarks: tuple[NDArray[Any], ...] = ()  # what the router's rule goes by; none as long as rows are corrected

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent, with eight bytes for the number of a task."""
        return sum(landmark.nbytes for landmark in self.landmarks) + 8 * len(self.assignment)


@dataclass(frozen=True)
class PoolAdapter:
    """The adapter of a pool, as the server sends it outside of a round."""

    adapter: Adapter

    @property
    def nbytes(self) -> int:
        """Size in bytes as sent: the adapter."""
        return adapter_bytes(self.adapter)


@dataclass(frozen=True)
class ClientEmbeddings:
    """Embeddings of some of a client's examples. They stay with the client."""

    client: int
    positions: tuple[int, ...]  # of the examples
    embeddings: Floats  # (n, d), raw
    nbytes: int = 0


@dataclass(frozen=True)
class GroupTokens:
    """How long a client's groups are in tokens. It stays with the client."""

    client: int
    means: tuple[float, ...]  # mean tokens of an example, by group
    nbytes: int = 0


@dataclass(frozen=True)
class StepTime:
    """What one optimizer step took on a client's batch. It stays with the client."""

    client: int
    seconds: float
    tokens: int  # real tokens of the batch
    nbytes: int = 0


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


@dataclass(frozen=True)
class Failed:
    """What a client answers in place of an update where its training of a group gave a number that is not finite.

    Ten numbers at most, too small to be counted.
    """

    client: int
    group: int  # rank of the group
    pool: str
    round: int
    lr: float
    what: str  # what was not finite: LOSS or WEIGHT
    steps: int  # optimizer steps, the one with the loss that is not finite included
    spared: int  # steps that it had still to take
    tokens: int  # real tokens of the steps
    nbytes: int = 0

    def __str__(self) -> str:
        """Say it in a line."""
        return (
            f"round {self.round}, client {self.client}: training of {self.pool} stopped after step {self.steps}, at "
            f"learning rate {self.lr:.3g}: {self.what} is not finite; it sends no update in this round"
        )


LOSS, WEIGHT = "the loss", "a weight"
