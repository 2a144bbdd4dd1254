"""What the server may ask of clients: the answers, what they weigh, and that they hold no text."""

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from inside import clients_of
from plain_messages import longest, numbers, texts

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.federation import questions
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.questions import (
    AskFacts,
    AskGroupTokens,
    AskLabels,
    AskReferences,
    AskSpacedEmbeddings,
    AskStepTime,
    AskTasks,
    Question,
    spaced,
)
from fedrouter_sim.messages import ClientFacts
from fedrouter_sim.methods import find_method
from fedrouter_sim.routing.router import Router

FederationMaker = Callable[..., Federation]
NONE = Normalizer("none")
ROUTER = Router(np.stack([np.zeros(32), np.ones(32)]).astype(np.float32), NONE, 8, "")
GROUPS = (Group(0, 0, (0, 2, 4), "a"), Group(1, 0, (0, 1), "b"), Group(1, 1, (2, 3), "a"))
QUESTIONS: list[Question[Any]] = [
    AskFacts(),
    AskTasks(ROUTER),
    AskLabels(),
    AskReferences(5, 1, "a purpose"),
    AskSpacedEmbeddings(3),
    AskGroupTokens({0: GROUPS[:1], 1: GROUPS[1:]}),
    AskStepTime(GROUPS[1]),
]
every_question = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: type(question).__name__)


@pytest.fixture
def client(federate: FederationMaker) -> Client:
    return clients_of(federate())[1]


def test_all_questions_are_tested_here() -> None:
    there = {kind for kind in vars(questions).values() if isinstance(kind, type) and issubclass(kind, Question)}
    assert {type(question) for question in QUESTIONS} == there - {Question}


@every_question
def test_the_same_question_gets_the_same_answer(federate: FederationMaker, question: Question[Any]) -> None:
    one, two = (question.answer(clients_of(federate())[1]) for _ in range(2))
    assert numbers(one) == numbers(two)


@every_question
def test_no_answer_holds_a_text_of_the_clients_examples(client: Client, question: Question[Any]) -> None:
    own = {text for example in client.examples for text in (example.instruction, example.response)}
    assert not own & set(texts(numbers(question.answer(client))))


@every_question
def test_nothing_that_counts_is_sent(client: Client, question: Question[Any]) -> None:
    """What finding the tasks sends is in `test_task_questions`."""
    assert question.answer(client).nbytes == question.nbytes == 0


def test_facts_are_three_numbers(client: Client) -> None:
    everything = range(len(client.examples))
    assert AskFacts().answer(client) == ClientFacts(1, len(client.examples), longest(client, everything), cut=0)


def test_facts_count_the_instructions_that_were_cut() -> None:
    def encoded(response: int, cut: bool) -> Any:
        return SimpleNamespace(response=(0,) * response, prompt=SimpleNamespace(cut=cut))

    client: Any = SimpleNamespace(id=4, encoded=[encoded(2, True), encoded(5, False), encoded(3, True)])
    assert AskFacts().answer(client) == ClientFacts(4, 3, 5, cut=2)


def test_tasks_are_those_of_the_router(federate: FederationMaker) -> None:
    federation = federate()
    router = find_method("fedrouter").plan(federation).router
    assert router is not None
    client = clients_of(federation)[0]
    found = AskTasks(router).answer(client)
    points = router.normalizer(client.embeddings)
    nearest = np.linalg.norm(points[:, None] - router.centroids[None], axis=2).argmin(1)
    assert [found.names[part] for part in found.labels] == [f"task_{task}" for task in nearest]
    parts = range(len(found.names))
    assert len(found.names) == len(set(nearest)) > 1
    assert list(found.answer_tokens) == [longest(client, np.flatnonzero(found.labels == part)) for part in parts]
    assert found.client == 0


def test_rows_of_known_tasks_are_not_routed(client: Client) -> None:
    known = np.full(len(client.examples), -1)
    known[:3] = 5
    found, routed = AskTasks(ROUTER, {1: known}).answer(client), AskTasks(ROUTER).answer(client)
    names = [[one.names[part] for part in one.labels] for one in (found, routed)]
    assert names[0] == ["task_5"] * 3 + names[1][3:]


def test_labels_are_parts_by_first_example(federate: FederationMaker) -> None:
    tasks = iter(["b", "a", "b", None, "a"] * 100)
    client = clients_of(federate(relabel=lambda example: dataclasses.replace(example, task=next(tasks))))[0]
    found = AskLabels().answer(client)
    assert (found.client, found.names) == (0, ("b", "a", ""))
    assert found.labels[:5].tolist() == [0, 1, 0, 2, 1]
    assert [found.names[part] for part in found.labels] == [example.task or "" for example in client.examples]
    assert found.answer_tokens.tolist() == [longest(client, np.flatnonzero(found.labels == part)) for part in range(3)]


def test_references_are_drawn_without_replacement_by_seed_purpose_and_client(client: Client) -> None:
    def drawn(count: int = 5, seed: int = 1, purpose: str = "a purpose", number: int = 1) -> tuple[int, ...]:
        client.id = number
        found = AskReferences(count, seed, purpose).answer(client)
        np.testing.assert_array_equal(found.embeddings, client.embeddings[list(found.positions)])
        assert found.client == number
        return found.positions

    everything = tuple(range(len(client.examples)))
    first = drawn()
    assert len(set(first)) == 5
    assert list(first) == sorted(first)
    assert drawn(count=99) == everything
    assert all(other != first for other in (drawn(seed=2), drawn(purpose="another"), drawn(number=2)))


def test_spaced_positions_are_the_middles_of_equal_stretches() -> None:
    assert spaced(9, 3) == [1, 4, 7]
    assert spaced(100, 2) == [25, 75]
    assert spaced(3, 5) == [0, 1, 2]
    assert spaced(1, 1) == [0]


def test_spaced_embeddings_are_the_raw_ones_at_those_positions(client: Client) -> None:
    found = AskSpacedEmbeddings(4).answer(client)
    assert list(found.positions) == spaced(len(client.examples), 4)
    np.testing.assert_array_equal(found.embeddings, client.embeddings[list(found.positions)])
    assert len(AskSpacedEmbeddings(10**6).answer(client).positions) == len(client.examples)


def test_group_tokens_are_the_means_of_the_clients_own_groups(federate: FederationMaker) -> None:
    lengths = [[len(example) for example in client.encoded] for client in clients_of(federate())]
    question = AskGroupTokens({0: GROUPS[:1], 1: GROUPS[1:]})
    found = [question.answer(client) for client in clients_of(federate())]
    assert found[0].means == pytest.approx((sum(lengths[0][i] for i in (0, 2, 4)) / 3,))
    assert found[1].means == pytest.approx((sum(lengths[1][:2]) / 2, sum(lengths[1][2:4]) / 2))
    assert [(answer.client, len(answer.means)) for answer in found] == [(0, 1), (1, 2), (2, 0), (3, 0)]


@pytest.mark.parametrize(("quick", "steps"), [(1e9, 2), (0.0, 1)])
def test_a_first_step_that_was_quick_was_mostly_warming_up_and_is_taken_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, quick: float, steps: int
) -> None:
    taken: list[Group] = []
    monkeypatch.setattr(client, "trial_step", lambda group: taken.append(group) or 7 * len(taken))
    found = AskStepTime(GROUPS[1], quick).answer(client)
    assert taken == [GROUPS[1]] * steps
    assert (found.client, found.tokens) == (1, 7 * steps)
    assert 0 < found.seconds < 1e9


def test_a_step_is_timed_on_a_real_batch(client: Client) -> None:
    found = AskStepTime(GROUPS[1]).answer(client)
    assert found.seconds > 0
    assert found.tokens == client.trial_step(GROUPS[1])
