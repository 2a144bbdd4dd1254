"""The guard: a step of the outbox that bounds and noises what leaves clients before training, and refuses the rest."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Floats
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import COSINE, L2, STANDARDIZE
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.privacy import CENTROIDS, SKETCHES, SUMS, UPDATES
from fedrouter_sim.federation.privacy.budget import Budget
from fedrouter_sim.federation.privacy.deciding import DECIDED, REFUSED, TO_CLIENTS
from fedrouter_sim.messages import (
    SENT_SKETCH,
    CentroidMessage,
    ClientFacts,
    FeatureSums,
    Grouping,
    LocalClusters,
    Update,
)
from fedrouter_sim.randomness import numpy_generator

ANSWER_TOKENS = 64
"""How long answers may be, in tokens, where nobody says how long those are that were trained on."""

PUBLIC_TEXTS = ("Say in one sentence what this text is about.", "Is this true? Answer yes or no.", "Write it again.")
"""Texts of nobody, whose embeddings say how long embeddings of the backbone are."""

_SLACK = 1.1  # by which the embeddings of clients' texts may be longer before they are clipped
_HALVES = 2


@dataclass(frozen=True)
class Bounds:
    """L2 norms at which means of a client's embeddings, and of their squares, are clipped. They are public."""

    embedding: float
    squares: float

    @classmethod
    def of(cls, embeddings: Floats) -> "Bounds":
        """Take the largest norms of some embeddings (n, d) of public texts, and a tenth more."""
        values = embeddings.astype(np.float64)
        norms = [float(np.linalg.norm(rows, axis=1).max()) for rows in (values, values**2)]
        return cls(_SLACK * norms[0], _SLACK * norms[1])


class Guard:
    """Lets messages out of clients as `DECIDED` says.

    Noise is drawn from generators keyed by the run's seed, the kind and the client; that of the sums, to which every
    client adds its part, by the place in the order of asking in the client's stead. So the same message is let out with
    the same noise, whoever asks again after an interruption.

    Args:
        budget: of the run.
        config: the settings.
        clients: how many there are; it is public.
        clusters: how many local clusters each is asked for.
        bounds: of embeddings.
    """

    def __init__(self, budget: Budget, config: RunConfig, clients: int, clusters: int, bounds: Bounds) -> None:
        self.budget = budget
        self._config = config
        self._clients = clients
        self._clusters_each = clusters
        self._bounds = bounds
        self._sent: Counter[str] = Counter()

    def __call__(self, message: Any, client: int, start: Adapter | None) -> Any:
        """Return a message as it leaves the client.

        Args:
            message: from the client.
            client: who sends it.
            start: not looked at.

        Raises:
            UserError: it must not leave, or more of its kind than is paid for would.
        """
        decision = DECIDED.get(type(message))
        if decision is None or decision.what in (REFUSED, TO_CLIENTS):
            raise UserError(
                f"--dp-epsilon: --method {self._config.method} has clients send {type(message).__name__}, for which no "
                "privacy is accounted; take another method or another --router, or drop --dp-epsilon"
            )
        match message:
            case FeatureSums():
                return self._sums(message)
            case LocalClusters():
                return self._clusters(message)
            case CentroidMessage():
                return self._centroids(message)
            case Update():
                self._check_paid(message)
            case ClientFacts():
                return replace(message, answer_tokens=self.answer_tokens)
            case Grouping():
                return replace(message, answer_tokens=np.full_like(message.answer_tokens, self.answer_tokens))
        return message

    @property
    def answer_tokens(self) -> int:
        """How long answers may be."""
        return min(ANSWER_TOKENS, self._config.max_tokens)

    @property
    def least_deviation(self) -> float:
        """The standard deviation of features that their noise alone would show; 0 where there is none."""
        release = self.budget.release(SUMS)
        if release is None:
            return 0.0
        return float((release.noise_multiplier * 2**0.5 * self._bounds.squares / self._clients) ** 0.5)

    def _check_paid(self, update: Update) -> None:
        """Refuse an update that the budget does not know of. It is clipped and noised where it is summed."""
        release = self.budget.release(UPDATES)
        if release is None or update.round > release.times:
            raise UserError(
                f"--dp-epsilon: --method {self._config.method} has clients send updates in round {update.round}, which "
                "the budget does not know of; take another method or drop --dp-epsilon"
            )

    def _pay(self, kind: str, client: int | None = None) -> tuple[float, np.random.Generator]:
        """Count a client's part in a release; return the noise multiplier and the generator of its noise."""
        release = self.budget.release(kind)
        key = kind if client is None else f"{kind} of {client}"
        place, self._sent[key] = self._sent[key], self._sent[key] + 1
        if release is None or place >= (self._clients if client is None else 1):
            raise UserError(
                f"--dp-epsilon: --method {self._config.method} has clients send more {kind} than it says, and the "
                "budget has none left for them; take another method or drop --dp-epsilon"
            )
        generator = numpy_generator(self._config.seed, f"noise of {kind}", place if client is None else client)
        return release.noise_multiplier, generator

    def _sums(self, message: FeatureSums) -> FeatureSums:
        """Bound a client's mean embedding and mean square, and put its part of the sum's noise on both.

        All clients answer, so their parts add up to the noise of the sum. Both are one release: in units of their
        bounds, one client changes the two together by the root of 2 at most.
        """
        noise, generator = self._pay(SUMS)
        of_one = noise * 2**0.5 / self._clients**0.5
        total, squares = (
            shortened(values[None] / max(message.count, 1), bound)[0]
            + generator.normal(0, of_one * bound, values.shape)
            for values, bound in (
                (message.total, self._bounds.embedding),
                (message.total_squares, self._bounds.squares),
            )
        )
        return FeatureSums(1, total, squares)

    def _clusters(self, message: LocalClusters) -> LocalClusters:
        """Noise what a client sends of its local clusters; it always sends as many as are asked for."""
        if message.tasks:
            raise UserError(
                f"--dp-epsilon: --method {self._config.method} has clients send tasks with their clusters, for which "
                "no privacy is accounted; take another method or drop --dp-epsilon"
            )
        sent = self._centroids(message.sent)
        names = tuple(f"cluster {cluster}" for cluster in range(len(sent.sizes)))  # some may have no rows
        return replace(
            message, sent=sent, grouping=replace(message.grouping, names=names, answer_tokens=sent.answer_tokens)
        )

    def _centroids(self, message: CentroidMessage) -> CentroidMessage:
        wanted = self._clusters_each
        bound = self._centroid_bound(message.centroids.shape[1])
        noise, generator = self._pay(CENTROIDS, message.client)
        centroids = _filled(shortened(message.centroids, bound), wanted)
        # One client changes all of its centroids, each by its bound at most.
        noised = centroids + generator.normal(0, noise * bound * wanted**0.5, centroids.shape)
        halves = None
        if message.halves is not None:
            noise, generator = self._pay(SKETCHES, message.client)
            flat = message.halves.reshape(-1, message.halves.shape[-1])
            rows = _filled(shortened(flat, 1.0), wanted * _HALVES)
            rows = rows + generator.normal(0, noise * (wanted * _HALVES) ** 0.5, rows.shape)
            most = float(np.finfo(SENT_SKETCH).max)
            halves = rows.clip(-most, most).reshape(wanted, _HALVES, -1)
        return CentroidMessage(
            message.client,
            shortened(noised, bound).astype(np.float32),  # no centroid is longer, so what is was noise
            np.ones(wanted, dtype=np.int64),
            np.full(wanted, self.answer_tokens, dtype=np.int64),
            halves,
        )

    def _centroid_bound(self, width: int) -> float:
        kind = self._config.normalize
        if kind == STANDARDIZE:
            return float(width**0.5)  # the length of a standardised row, on average
        return 1.0 if kind in (L2, COSINE) else self._bounds.embedding


def shortened(rows: NDArray[Any], most: float) -> NDArray[np.float64]:
    """Return rows (n, d), those that are longer than `most` in L2 scaled down to it; computed in float64."""
    values = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values * (most / np.maximum(norms, most)))


def _filled(rows: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return `count` rows, zeros where there are fewer: how many a client has is not to be seen."""
    return np.concatenate([rows[:count], np.zeros((max(0, count - len(rows)), rows.shape[1]))])
