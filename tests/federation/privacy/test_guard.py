"""The guard: each kind of message is noised, stays, or is refused, and what is noised is bounded first."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from plain_messages import numbers

import fedrouter_sim.messages
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.privacy import CENTROIDS, SKETCHES, SUMS, UPDATES
from fedrouter_sim.federation.privacy.budget import Budget, Release
from fedrouter_sim.federation.privacy.deciding import DECIDED, NOISED, REFUSED, STAYS, SUMMED, TO_CLIENTS
from fedrouter_sim.federation.privacy.guard import ANSWER_TOKENS, Bounds, Guard, shortened
from fedrouter_sim.messages import (
    CentroidMessage,
    ClientFacts,
    FeatureSums,
    Grouping,
    LocalClusters,
    PoolAdapter,
    Tasks,
    Update,
)

WIDTH = 16
MESSAGES = [
    kind for kind in vars(fedrouter_sim.messages).values() if dataclasses.is_dataclass(kind) and hasattr(kind, "nbytes")
]


class Alone(Guard):
    """A guard that is called by hand: who sends and where training started from make no difference to it."""

    def __call__(self, message: Any, client: int = 0, start: Any = None) -> Any:
        return super().__call__(message, client, start)


def guard(noise: float = 0.0, clients: int = 4, clusters: int = 3, **changes: Any) -> Alone:
    releases = tuple(Release(kind, noise, 1.0, 1, 0.25) for kind in (SUMS, CENTROIDS, SKETCHES, UPDATES))
    config = RunConfig(**({"normalize": "standardize", "clients": clients} | changes))
    return Alone(Budget(8.0, 1e-5, 1.0, releases), config, clients, clusters, Bounds(2.0, 3.0))


def clusters(client: int = 0, count: int = 3, length: float = 100.0, sketched: bool = True) -> LocalClusters:
    rows = np.full((count, WIDTH), length, dtype=np.float32)
    halves = np.full((count, 2, WIDTH), length, dtype=np.float32) if sketched else None
    longest = np.arange(1, count + 1)
    grouping = Grouping(client, np.arange(count), tuple("abc"[:count]), longest)
    return LocalClusters(CentroidMessage(client, rows, longest * 10, longest, halves), grouping)


def test_of_every_kind_of_message_it_is_decided_what_becomes_of_it() -> None:
    """A new kind of message fails here until somebody decides."""
    assert len(MESSAGES) > 10
    assert {*MESSAGES} == {*DECIDED}
    assert {decision.what for decision in DECIDED.values()} <= {NOISED, SUMMED, STAYS, REFUSED, TO_CLIENTS}
    for kind, decision in DECIDED.items():
        if decision.what == STAYS:  # it is not counted as sent either
            assert kind.nbytes == 0, kind


@pytest.mark.parametrize("kind", [kind for kind, one in DECIDED.items() if one.what in (REFUSED, TO_CLIENTS)])
def test_what_is_refused_is_refused_in_a_line(kind: Any) -> None:
    message = object.__new__(kind)
    with pytest.raises(
        UserError, match=f"--dp-epsilon: --method fedrouter has clients send {kind.__name__}, for which"
    ):
        guard()(message)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(UserError, match="send SimpleNamespace, for which no privacy is accounted"):
        guard()(SimpleNamespace(nbytes=3))


def test_counts_and_lengths_are_not_sent() -> None:
    watched = guard()
    assert watched(ClientFacts(2, 10, 33, 1)) == ClientFacts(2, 10, ANSWER_TOKENS, 1)
    grouping = Grouping(0, np.zeros(4, dtype=np.int64), ("a",), np.array([7]))
    assert watched(grouping).answer_tokens.tolist() == [ANSWER_TOKENS]
    assert guard(max_tokens=20)(grouping).answer_tokens.tolist() == [20]
    sent = watched(clusters()).sent
    assert (sent.sizes.tolist(), sent.answer_tokens.tolist()) == ([1, 1, 1], [ANSWER_TOKENS] * 3)


@pytest.mark.parametrize("normalize, bound", [("standardize", WIDTH**0.5), ("cosine", 1.0), ("l2", 1.0), ("none", 2.0)])
def test_centroids_and_sketches_are_clipped(normalize: str, bound: float) -> None:
    sent = guard(normalize=normalize)(clusters()).sent
    np.testing.assert_allclose(np.linalg.norm(sent.centroids, axis=1), bound, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(sent.halves.astype(float), axis=2), 1, rtol=1e-3)
    short = guard(normalize=normalize)(clusters(length=0.01)).sent
    np.testing.assert_allclose(short.centroids, 0.01, rtol=1e-6)


def test_how_many_clusters_a_client_has_is_not_seen() -> None:
    message = guard()(clusters(count=1))
    assert message.sent.centroids.shape == (3, WIDTH) and message.sent.halves.shape == (3, 2, WIDTH)
    assert message.sent.centroids[1:].any() == message.sent.halves[1:].any() == 0
    assert len(message.grouping.names) == len(message.grouping.answer_tokens) == 3
    assert message.nbytes == guard()(clusters()).nbytes


def test_noise_has_the_deviation_that_the_bound_and_the_multiplier_give() -> None:
    """Sums: the noise of all clients' parts together. Sketches are not clipped again, so theirs shows as it is."""
    noise, clients, width = 0.7, 5, 4000
    watched = guard(noise, clients)
    sums = [watched(FeatureSums(2, np.zeros(width), np.zeros(width))) for _ in range(clients)]
    assert [one.count for one in sums] == [1] * clients
    total, squares = (np.sum([getattr(one, name) for one in sums], axis=0) for name in ("total", "total_squares"))
    assert total.std() == pytest.approx(noise * 2**0.5 * 2.0, rel=0.05)
    assert squares.std() == pytest.approx(noise * 2**0.5 * 3.0, rel=0.05)
    assert watched.least_deviation == pytest.approx((noise * 2**0.5 * 3.0 / clients) ** 0.5)
    empty = CentroidMessage(
        1, np.zeros((3, width), np.float32), np.ones(3, int), np.ones(3, int), np.zeros((3, 2, width), np.float32)
    )
    sent = watched(empty)
    assert sent.halves.astype(float).std() == pytest.approx(noise * 6**0.5, rel=0.05)
    # Centroids: noise of a norm far above the bound comes back to the bound.
    assert np.linalg.norm(sent.centroids, axis=1) == pytest.approx([width**0.5] * 3, rel=0.05)


def test_sums_are_of_means_so_that_rows_do_not_count() -> None:
    rows = np.full((5, WIDTH), 0.1, dtype=np.float32)
    one, many = (guard()(FeatureSums.of(np.repeat(rows, times, axis=0))) for times in (1, 9))
    assert numbers(one) == numbers(many) and one.total == pytest.approx(0.1)
    long = guard()(FeatureSums.of(100 * rows))
    assert (np.linalg.norm(long.total), np.linalg.norm(long.total_squares)) == pytest.approx((2.0, 3.0))


def test_the_same_seed_gives_the_same_noise_and_each_client_its_own() -> None:
    def sent(seed: int, client: int) -> Any:
        return numbers(guard(1.0, seed=seed)(clusters(client)).sent)["centroids"]

    assert sent(1, 0) == sent(1, 0)
    assert sent(1, 0) != sent(2, 0)
    assert sent(1, 0) != sent(1, 1)


def test_more_than_is_paid_for_is_refused() -> None:
    watched = guard(clients=2)
    watched(clusters(0)), watched(clusters(1))
    with pytest.raises(UserError, match="has clients send more centroids than it says"):
        watched(clusters(0))
    sums = FeatureSums(1, np.zeros(WIDTH), np.zeros(WIDTH))
    watched(sums), watched(sums)
    with pytest.raises(UserError, match="has clients send more standardisation sums than it says"):
        watched(sums)
    with pytest.raises(UserError, match="has clients send tasks with their clusters"):
        guard()(dataclasses.replace(clusters(), tasks=(0, 0, 1)))


def test_an_update_goes_through_unchanged_in_the_rounds_that_are_paid_for() -> None:
    update = Update(0, 0, "a", 1, 3, (), {}, 1.0, 1, 1)
    assert guard()(update) is update
    with pytest.raises(UserError, match="has clients send updates in round 2, which the budget does not know of"):
        guard()(dataclasses.replace(update, round=2))


def test_rows_that_are_not_too_long_stay() -> None:
    rows = np.array([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    np.testing.assert_allclose(shortened(rows, 1.0), [[0.6, 0.8], [0.3, 0.4], [0, 0]])


def test_what_clients_are_told_is_no_message_of_theirs() -> None:
    assert DECIDED[Tasks].what == DECIDED[PoolAdapter].what == TO_CLIENTS


@pytest.fixture
def bounds() -> Callable[[Any], Bounds]:
    return lambda rows: Bounds.of(np.asarray(rows, dtype=np.float32))


def test_bounds_are_the_norms_of_public_texts_and_a_tenth_more(bounds: Callable[[Any], Bounds]) -> None:
    found = bounds([[3.0, 4.0], [0.0, 1.0]])
    assert (found.embedding, found.squares) == pytest.approx((1.1 * 5, 1.1 * (81 + 256) ** 0.5))


def test_the_page_says_what_becomes_of_each_kind() -> None:
    page = (Path(__file__).parents[3] / "docs" / "privacy.md").read_text(encoding="utf-8")
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| `"))
    assert all(f"`{kind.__name__}`" in rows for kind in DECIDED)


def test_noise_beyond_half_precision_stays_finite() -> None:
    sent = guard(noise=1e6)(clusters()).sent
    assert sent.halves.dtype == np.float16 and np.isfinite(sent.halves).all()
