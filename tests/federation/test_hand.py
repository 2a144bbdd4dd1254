"""What a worker does when told to is what clients in this process do."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.asking import Asking
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.hand import Hand, Means
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.questions import AskFacts
from fedrouter_sim.federation.task_questions import AskLocalClusters, Sketching
from fedrouter_sim.federation.workers import Order
from fedrouter_sim.messages import Update

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]


@pytest.fixture(scope="module")
def federation(federate: FederationMaker) -> Federation:
    """The clients in this process."""
    return federate()


@pytest.fixture
def hand(federation: Federation, backbone: Backbone) -> Hand:
    """A worker that holds all of them."""
    made = Hand()
    made.open(federation.config, Means.of(backbone))
    made.hold(0, {client.id: client.examples for client in clients_of(federation)}, {})
    return made


def test_an_order_is_trained_as_here(hand: Hand, federation: Federation, same: Same) -> None:
    order = Order(Group(1, 0, (0, 1, 2), "mine"), federation.initial, None, 3, 0.02, 1)
    [here] = federation.workers.train([order], Observer())
    update, losses = hand.train(0, dataclasses.replace(order, start={}), federation.initial, None)
    assert isinstance(here, Update) and isinstance(update, Update)
    assert same(update.adapter, here.adapter) and update.loss == here.loss == pytest.approx(np.mean(losses))
    assert len(losses) == 3


def test_lists_of_texts_are_embedded_as_here(hand: Hand, backbone: Backbone) -> None:
    lists = [["1 + 2 = ?", "reverse: a b"], ["PRICES TODAY"]]
    for texts, found in zip(lists, hand.embed(lists), strict=True):
        np.testing.assert_array_equal(found, backbone.embed(texts))


def test_a_question_is_answered_as_here_and_with_it_comes_what_is_kept_since(
    hand: Hand, federation: Federation
) -> None:
    question: Any = AskLocalClusters(Normalizer("none"), 2, 1, Sketching(federation.initial, 1, rows=4))
    here = federation.workers.ask(question)
    told = hand.ask(0, question, [0, 1, 2, 3])
    for own, (other, kept) in zip(here, told, strict=True):
        np.testing.assert_array_equal(own.sent.halves, other.sent.halves)
        mine = federation.workers.kept_sketches()[own.sent.client]
        assert list(kept) == list(mine) and all(np.array_equal(kept[place], mine[place]) for place in mine)
    assert [kept for _, kept in hand.ask(0, question, [2])] == [{}]  # nothing new


def test_what_was_kept_elsewhere_is_there(hand: Hand, federation: Federation) -> None:
    rows = {3: clients_of(federation)[3].examples}
    hand.hold(1, rows, {3: {0: np.ones(2, dtype=np.float32)}})
    assert list(hand._clients[1][3].kept_sketches) == [0]
    hand.recall(1, {3: {5: np.ones(2, dtype=np.float32)}})
    assert list(hand._clients[1][3].kept_sketches) == [5]


def test_texts_are_answered_and_scored_as_here(hand: Hand, federation: Federation, backbone: Backbone) -> None:
    asking = Asking(federation.initial, clients_of(federation)[0].examples[:3], 4, scored=True)
    here, there = asking.answered_by(backbone), hand.answer(asking)
    assert there.generated == here.generated
    np.testing.assert_array_equal(there.scores, here.scores)
    assert dataclasses.replace(asking, scored=False).answered_by(backbone).scores is None


def test_another_run_finds_the_backbone_loaded_and_no_clients(
    hand: Hand, federation: Federation, backbone: Any
) -> None:
    before = hand._backbone
    hand.open(dataclasses.replace(federation.config, method="fedavg"), Means.of(backbone))
    assert hand._backbone is before and hand._clients == {}
    hand.hold(0, {0: clients_of(federation)[0].examples}, {})
    assert [facts.id for facts, _ in hand.ask(0, AskFacts(), [0])] == [0]  # type: ignore[attr-defined, arg-type]


def test_a_worker_that_would_give_other_bytes_is_refused(hand: Hand, federation: Federation, backbone: Any) -> None:
    wanted = dataclasses.replace(Means.of(backbone), dtype="bfloat16")
    with pytest.raises(UserError, match=r"--workers: a worker has another dtype \(float32\) than this process \(bf"):
        hand.open(federation.config, wanted)
