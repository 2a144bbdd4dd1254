"""What clients are asked in order to find the tasks: the answers, what they weigh, and that they hold no text."""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from inside import clients_of
from plain_messages import longest, numbers, texts

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.backbone.sketching import SKETCH
from fedrouter_sim.clustering.normalizing import Normalizer, unit_rows
from fedrouter_sim.federation import task_questions
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.questions import Question
from fedrouter_sim.federation.task_questions import (
    AskAgreement,
    AskCorrection,
    AskFeatureSums,
    AskLocalClusters,
    AskParts,
    Sketching,
    aligned,
    mean_cosine_within,
)
from fedrouter_sim.messages import RowTasks

FederationMaker = Callable[..., Federation]
NONE = Normalizer("none")
AFFINE = Normalizer("standardize", np.ones(32, dtype=np.float32), np.full(32, 2, dtype=np.float32))
SKETCHED = 2 * 2 * SKETCH * 2  # bytes of the halves of two parts


@pytest.fixture
def federation(federate: FederationMaker) -> Federation:
    return federate()


@pytest.fixture
def client(federation: Federation) -> Client:
    return clients_of(federation)[1]


def questions_of(federation: Federation) -> list[Question[Any]]:
    sketching = Sketching(federation.initial, 1)
    rows = {client.id: np.arange(len(client.examples)) % 2 for client in clients_of(federation)}
    sums = np.ones((2, SKETCH), dtype=np.float32)
    counted = {client: np.ones(len(own), dtype=bool) for client, own in rows.items()}
    return [
        AskFeatureSums(),
        AskAgreement((NONE, AFFINE), 2, 1, sketching),
        AskLocalClusters(NONE, 2, seed=1),
        AskLocalClusters(AFFINE, 2, 1, sketching),
        AskParts(NONE, rows, rows, sketching),
        AskCorrection(NONE, rows, rows, sums, counted, sketching),
    ]


def test_all_questions_are_tested_here(federation: Federation) -> None:
    there = {kind for kind in vars(task_questions).values() if isinstance(kind, type) and issubclass(kind, Question)}
    assert {type(question) for question in questions_of(federation)} == there - {Question}


def test_answers_are_the_same_again_hold_no_text_and_weigh_what_is_sent(federate: FederationMaker) -> None:
    clusters = 2 * 32 * 4 + 2 * 8 + 2 * 8  # centroids, sizes, longest responses
    up = [2 * 32 * 8 + 8, 2 * 8 + 8, clusters, clusters + SKETCHED, clusters + SKETCHED + 2 * 8, 0]
    down = [0, 2 * 32 * 4, 0, 2 * 32 * 4, 0, 2 * SKETCH * 4]
    one, two = federate(), federate()
    for question, again, to_server, to_client in zip(questions_of(one), questions_of(two), up, down, strict=True):
        client = clients_of(one)[1]
        answer = question.answer(client)
        assert numbers(answer) == numbers(again.answer(clients_of(two)[1]))
        assert (answer.nbytes, question.nbytes) == (to_server, to_client)
        own = {text for example in client.examples for text in (example.instruction, example.response)}
        assert not own & set(texts(numbers(answer)))
        assert not list(texts(numbers(getattr(answer, "sent", answer))))


def test_a_question_for_clusters_takes_the_normalisation_along() -> None:
    assert AskLocalClusters(AFFINE, 2, 1).nbytes == 2 * 32 * 4
    assert AskLocalClusters(Normalizer("l2"), 2, 1).nbytes == 0


def test_feature_sums_are_those_of_the_embeddings(client: Client) -> None:
    found, values = AskFeatureSums().answer(client), client.embeddings.astype(np.float64)
    assert found.count == len(client.examples)
    np.testing.assert_allclose(found.total, values.sum(0), rtol=1e-12)
    np.testing.assert_allclose(found.total_squares, (values**2).sum(0), rtol=1e-12)


@pytest.mark.parametrize("normalizer", [NONE, AFFINE, Normalizer("l2")], ids=lambda normalizer: normalizer.kind)
def test_clusters_and_their_message(client: Client, normalizer: Normalizer) -> None:
    found = AskLocalClusters(normalizer, 2, seed=1).answer(client)
    sent, labels = found.sent, found.grouping.labels
    assert (sent.client, found.grouping.client, found.grouping.names) == (1, 1, ("cluster 0", "cluster 1"))
    assert list(sent.sizes) == [int((labels == cluster).sum()) for cluster in range(2)]
    assert sent.sizes.sum() == len(labels) == len(client.examples)
    assert labels[0] == 0  # numbered by first example
    for cluster in range(2):
        own = np.flatnonzero(labels == cluster)
        mean = normalizer(client.embeddings)[own].mean(0)
        np.testing.assert_allclose(sent.centroids[cluster], mean, atol=1e-5)
        assert sent.answer_tokens[cluster] == found.grouping.answer_tokens[cluster] == longest(client, own)
    assert found.nbytes == sent.nbytes == 2 * 32 * 4 + 2 * 8 + 2 * 8


def test_fewer_clusters_than_asked_where_examples_are_equal(client: Client) -> None:
    client.__dict__["embeddings"] = np.repeat(np.eye(3, 32, dtype=np.float32), 7, axis=0)[: len(client.examples)]
    found = AskLocalClusters(NONE, 4, seed=1).answer(client)
    assert len(found.sent.sizes) == len(found.grouping.names) == 3


def test_sketched_rows_are_so_many_drawn_by_seed_and_client(client: Client) -> None:
    drawn = Sketching({}, 1, rows=5).positions(client)
    assert len(drawn) == 5 and drawn.tolist() == sorted(set(drawn.tolist()))
    assert drawn.tolist() == Sketching({}, 1, rows=5).positions(client).tolist()
    assert drawn.tolist() != Sketching({}, 2, rows=5).positions(client).tolist()
    assert Sketching({}, 1).positions(client).tolist() == list(range(len(client.examples)))  # no more than there are
    client.id = 2
    assert drawn.tolist() != Sketching({}, 1, rows=5).positions(client).tolist()


def test_local_clusters_part_rows_of_like_inputs_by_what_has_to_come_out() -> None:
    answers, points = np.eye(2, 8, dtype=np.float32)[[0, 1] * 6], np.ones((12, 3), dtype=np.float32)
    points[:, 2] += np.linspace(0, 0.01, 12, dtype=np.float32)
    client = made_up(answers, points)
    found = AskLocalClusters(NONE, 2, 1, Sketching({}, 1)).answer(client)
    assert found.grouping.labels.tolist() == [0, 1] * 6
    np.testing.assert_allclose(found.sent.centroids, [points[0::2].mean(0), points[1::2].mean(0)], rtol=1e-6)


def test_rows_without_a_sketch_go_with_the_nearest_that_has_one() -> None:
    points = np.array([[i % 2, i / 100] for i in range(12)], dtype=np.float32)
    client = made_up(np.ones((12, 8), dtype=np.float32), points)
    sketching = Sketching({}, 1, rows=6)
    found = AskLocalClusters(NONE, 2, 1, sketching).answer(client)
    assert {0, 1} == set(sketching.positions(client) % 2)
    assert found.grouping.labels.tolist() == [0, 1] * 6 and found.sent.sizes.tolist() == [6, 6]


def test_halves_are_sums_of_every_second_sketch(federation: Federation, client: Client) -> None:
    sketching = Sketching(federation.initial, 1)
    found = AskLocalClusters(NONE, 2, 1, sketching).answer(client)
    labels, halves = found.grouping.labels, found.sent.halves
    assert halves is not None and halves.shape == (2, 2, SKETCH)
    rows = client.sketches(range(len(labels)), federation.initial, 1)
    for cluster in range(2):
        own = rows[labels == cluster]
        np.testing.assert_allclose(halves[cluster], [own[0::2].sum(0), own[1::2].sum(0)], atol=2e-3)
    assert np.linalg.norm(halves[0, 0]) > 0.1
    assert AskLocalClusters(NONE, 2, 1).answer(client).sent.halves is None


def test_rows_are_sketched_once(federation: Federation, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    first = client.sketches([4, 2], federation.initial, 1)
    sketch, taken = client._backbone.sketch, []
    monkeypatch.setattr(client._backbone, "sketch", lambda *given: taken.append(len(given[1])) or sketch(*given))
    again = client.sketches([2, 3, 4], federation.initial, 1)
    assert taken == [1] and again[[2, 0]].tolist() == first.tolist()


def made_up(sketches: Floats, embeddings: Floats) -> Any:
    """A client whose rows have these sketches and embeddings."""
    encoded = [SimpleNamespace(response=(0,) * (row + 1)) for row in range(len(sketches))]
    own = SimpleNamespace(id=7, encoded=encoded, examples=encoded, embeddings=embeddings)
    own.calibration_rows = np.array([], dtype=np.int64)
    own.sketches = lambda positions, start, seed: sketches[list(positions)]
    return own


def near(tasks: list[int], of: int = 2) -> Floats:
    """Unit sketches near the unit vectors of some tasks."""
    noise = np.random.default_rng(0).normal(size=(len(tasks), of + 3)) * 0.1
    return unit_rows((np.eye(of, of + 3)[tasks] + noise).astype(np.float32))


def line(*values: float) -> Floats:
    return np.array(values, dtype=np.float32)[:, None]


def corrected(client: Any, clusters: list[int], tasks: list[int], sums: Floats, rows: int = 24) -> list[int]:
    labels: Ints = np.array(clusters)
    counted = {7: np.ones(len(labels), dtype=bool)}
    question = AskCorrection(NONE, {7: labels}, {7: np.array(tasks)}, sums, counted, Sketching({}, 1, rows))
    found = question.answer(client)
    assert isinstance(found, RowTasks) and found.client == 7
    return [int(task) for task in found.tasks]


def test_a_planted_row_goes_to_the_task_that_it_is_aligned_with() -> None:
    truth = [0, 0, 1, 0, 1, 1]
    sketches = near(truth)
    tasks = [0, 0, 0, 0, 1, 1]  # the third row stands in a local cluster of the first task
    sums = np.stack([sketches[np.array(tasks) == task].sum(0) for task in range(2)])
    assert corrected(made_up(sketches, line(0, 1, 2, 3, 9, 10)), [0, 0, 0, 0, 1, 1], tasks, sums) == truth


def test_a_row_does_not_pull_itself_back() -> None:
    """The only row of task 1 in a cluster of task 0: beside itself nothing there is like it."""
    sketches = near([1, 0, 1, 1])
    tasks = np.array([0, 0, 1, 1])
    sums = np.stack([sketches[tasks == task].sum(0) for task in range(2)])
    every = np.ones(4, dtype=bool)
    with_itself, without = sketches @ unit_rows(sums).T, aligned(sketches, tasks, sums, every)
    assert with_itself[0, 0] > 0.6 and abs(without[0, 0]) < 0.3
    others = unit_rows(sums[0] - sketches[:1])
    np.testing.assert_allclose(without[0], [*(sketches[0] @ others.T), with_itself[0, 1]], atol=1e-6)
    np.testing.assert_allclose(without[1, 1], with_itself[1, 1], atol=1e-6)
    assert aligned(sketches[:1], tasks[:1], sketches[:1], every[:1]).tolist() == [[0]]  # the only row of all
    aside = np.array([False, True, True, True])  # its part was set aside: it is not in the sum
    found = aligned(sketches, tasks, (sums - np.eye(2, 1) @ sketches[:1]).astype(np.float32), aside)
    np.testing.assert_allclose(found[0], without[0], atol=1e-6)


def test_no_row_goes_to_a_task_that_has_none_left() -> None:
    sketches = near([0, 0, 1])
    sums = np.stack([sketches[:2].sum(0), np.zeros(5), sketches[2]]).astype(np.float32)
    found = aligned(-sketches, np.array([0, 0, 2]), sums, np.zeros(3, dtype=bool))
    assert (found[:, 1] == -1).all() and found.argmax(axis=1).tolist() == [2, 2, 0]


def test_a_row_in_doubt_goes_with_its_local_cluster() -> None:
    doubt = unit_rows(np.array([[1, 1.02, 0, 0, 0]], dtype=np.float32))
    sketches = np.concatenate([near([0, 0, 0]), doubt, near([1, 1])])
    sums = 10 * np.eye(2, 5, dtype=np.float32) + 0 * sketches[:2]
    assert (sketches[3] @ unit_rows(sums).T).argmax() == 1
    assert corrected(made_up(sketches, line(*range(6))), [0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 1, 1], sums)[3] == 0


def test_rows_that_were_not_sketched_go_with_the_nearest_that_was() -> None:
    truth = [0, 1] * 20
    client = made_up(near(truth), line(*[100 * task + row for row, task in enumerate(truth)]))
    sums = 10 * np.eye(2, 5, dtype=np.float32)
    assert corrected(client, [0] * 40, [0] * 40, sums, rows=10) == truth


def test_a_sketched_row_keeps_its_own_task_beside_one_of_the_same_embedding() -> None:
    truth = [0, 1, 0, 1]
    assert (
        corrected(made_up(near(truth), line(5, 5, 5, 5)), [0] * 4, [0] * 4, 10 * np.eye(2, 5, dtype=np.float32))
        == truth
    )


@pytest.mark.parametrize(("by_cluster", "expected"), [(False, [0, 0, 1, 1, 0]), (True, [0, 1, 2, 2, 1])])
def test_parts_are_those_of_a_task_or_of_a_task_in_a_local_cluster(by_cluster: bool, expected: list[int]) -> None:
    sketches, points = near([1, 1, 0, 0, 1]), line(0, 1, 2, 3, 7)
    clusters, tasks = np.array([0, 1, 1, 1, 1]), np.array([1, 1, 0, 0, 1])
    found = AskParts(NONE, {7: clusters}, {7: tasks}, Sketching({}, 1), by_cluster).answer(made_up(sketches, points))
    labels = np.array(expected)
    assert found.grouping.labels.tolist() == expected
    assert [found.tasks[part] for part in expected] == tasks.tolist()
    assert found.sent.sizes.tolist() == np.bincount(labels).tolist()
    assert found.sent.answer_tokens.tolist() == [
        1 + int(np.flatnonzero(labels == part).max()) for part in range(len(found.tasks))
    ]
    halves = found.sent.halves
    assert halves is not None
    for part in range(len(found.tasks)):
        own = labels == part
        assert found.sent.centroids[part].tolist() == [points[own].mean()]
        np.testing.assert_allclose(halves[part].sum(0), sketches[own].sum(0), atol=2e-3)


def test_questions_do_not_show_what_they_carry() -> None:
    question = AskParts(NONE, {7: np.arange(3)}, {7: np.arange(3)}, Sketching({}, 1))
    assert "array" not in repr(question) and dataclasses.is_dataclass(question)


def test_agreement_is_the_mean_cosine_of_two_rows_of_a_cluster() -> None:
    rows = unit_rows(np.random.default_rng(3).normal(size=(9, 6)).astype(np.float32))
    labels = np.array([0, 0, 0, 1, 1, 1, 1, 2, 3])
    means = [
        np.mean([rows[i] @ rows[j] for i in own for j in own if i != j]) * len(own) for own in ([0, 1, 2], [3, 4, 5, 6])
    ]
    assert mean_cosine_within(rows, labels) == pytest.approx(sum(means) / 7, abs=1e-6)
    assert mean_cosine_within(rows[:1], labels[:1]) == 0


def test_a_client_says_how_well_its_clusters_agree_by_each_layer(federation: Federation, client: Client) -> None:
    sketching = Sketching(federation.initial, 1)
    found = AskAgreement((NONE, AFFINE), 2, 1, sketching).answer(client)
    labels = AskLocalClusters(NONE, 2, seed=1).answer(client).grouping.labels
    rows = client.sketches(list(range(len(labels))), federation.initial, 1)
    assert found.cosines[0] == pytest.approx(mean_cosine_within(rows, labels))
    assert (found.client, found.rows, found.nbytes) == (1, len(client.examples), 2 * 8 + 8)
