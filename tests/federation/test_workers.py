"""Workers: clients are trained and asked in order, and all that they send is counted."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from inside import backbone_of, clients_of

from fedrouter_sim.adapters.state import Adapter, adapter_bytes
from fedrouter_sim.backbone.encoding import Encoder
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.federation import workers
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group, Pull
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.questions import AskFacts, AskLabels
from fedrouter_sim.federation.task_questions import AskFeatureSums, AskLocalClusters
from fedrouter_sim.federation.workers import InProcess, Order
from fedrouter_sim.messages import Tasks

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]
SUMS = 2 * 32 * 8 + 8  # bytes of a client's feature sums


@dataclasses.dataclass
class Heard(Observer):
    """Writes down what workers tell."""

    started: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    losses: list[float] = dataclasses.field(default_factory=list)

    def client_started(self, client: int, steps: int) -> None:
        self.started.append((client, steps))

    def stepped(self, loss: float) -> None:
        self.losses.append(loss)


def orders_for(start: Adapter, *wanted: tuple[int, int], private: bool = False) -> list[Order]:
    """Return an order of two examples for each (client, rank)."""
    groups = [Group(client, rank, (2 * rank, 2 * rank + 1), f"pool_{rank}") for client, rank in wanted]
    return [Order(group, start, None, group.rank + 1, 0.02, 3, private) for group in groups]


def test_updates_come_in_the_order_of_the_orders(federate: FederationMaker, same: Same) -> None:
    federation, heard = federate(), Heard()
    clients, start = clients_of(federation), backbone_of(federation).initial_adapter(0)
    wanted = [(2, 0), (2, 1), (0, 0), (3, 1)]
    orders = orders_for(start, *wanted)
    updates = list(federation.workers.train(orders, heard))
    assert [(update.client, update.group) for update in updates] == wanted
    assert heard.started == [(2, 3), (0, 1), (3, 2)]  # a client is told once of all its steps
    assert len(heard.losses) == sum(order.steps for order in orders)
    for order, update in zip(orders, updates, strict=True):
        client = clients[order.group.client]
        expected = client.train(order.group, order.start, order.anchor, order.steps, order.lr, order.round)
        assert same(update.adapter, expected.adapter)
        assert (update.round, update.steps, update.pool) == (3, order.steps, order.group.pool)


def test_an_orders_anchor_is_what_its_group_is_pulled_to(federate: FederationMaker, same: Same) -> None:
    federation = federate()
    start, anchor = (backbone_of(federation).initial_adapter(seed) for seed in range(2))
    group = Group(1, 0, (0, 1, 2), "mine", pull=Pull("ours", 9.0))
    [update] = federation.workers.train([Order(group, start, anchor, 2, 0.02, 1)], Observer())
    client = clients_of(federation)[1]
    assert same(update.adapter, client.train(group, start, anchor, 2, 0.02, 1).adapter)
    assert not same(update.adapter, client.train(group, start, None, 2, 0.02, 1).adapter)


def test_updates_are_trained_one_by_one_as_they_are_wanted(federate: FederationMaker) -> None:
    federation, heard = federate(), Heard()
    start = backbone_of(federation).initial_adapter(0)
    training = federation.workers.train(orders_for(start, (0, 0), (1, 0)), heard)
    assert heard.started == []
    next(training)
    assert heard.started == [(0, 1)]


def test_adapters_are_counted_both_ways_and_private_ones_not_at_all(federate: FederationMaker) -> None:
    federation = federate()
    start, outbox = backbone_of(federation).initial_adapter(0), federation.workers.outbox
    size = adapter_bytes(start)
    shared, private = orders_for(start, (0, 0), (1, 0)), orders_for(start, (0, 1), (2, 1), private=True)
    assert [order.nbytes for order in (*shared, *private)] == [size, size, 0, 0]
    updates = list(federation.workers.train([*shared, *private], Observer()))
    assert len(updates) == 4  # the simulation has the private ones for its records
    assert outbox.total == Traffic(2 * size, 2 * size)


def test_clients_are_asked_in_order_and_their_answers_counted(federate: FederationMaker) -> None:
    workers = federate().workers
    assert [facts.id for facts in workers.ask(AskFacts())] == [0, 1, 2, 3]
    assert workers.outbox.total == Traffic()
    workers.ask(AskFeatureSums())
    assert workers.outbox.total == Traffic(4 * SUMS, 0)
    assert [found.client for found in workers.ask(AskLabels(), [1, 3])] == [1, 3]
    workers.ask(AskFeatureSums(), [2])
    assert workers.outbox.total == Traffic(5 * SUMS, 0)


def test_what_a_question_takes_along_is_delivered_to_each_who_is_asked(federate: FederationMaker) -> None:
    workers = federate().workers

    @dataclasses.dataclass(frozen=True)
    class Heavy(AskFacts):
        @property
        def nbytes(self) -> int:
            return 100

    workers.ask(Heavy(), [0, 2])
    assert workers.outbox.total == Traffic(0, 200)


def test_what_clients_are_told_is_delivered(federate: FederationMaker) -> None:
    workers = federate().workers
    centroids = np.zeros((2, 3), dtype=np.float32)
    workers.tell({0: Tasks(0, (0, 1), (centroids,)), 3: Tasks(3, (1,), (centroids,))})
    assert workers.outbox.total == Traffic(0, 2 * 24 + 3 * 8)


def test_the_examples_of_all_may_be_gathered_in_one_client(federate: FederationMaker) -> None:
    federation = federate()
    everything = [example for client in clients_of(federation) for example in client.examples]
    gathered = federation.workers.gathered()
    [facts] = gathered.ask(AskFacts())
    assert (facts.id, facts.examples) == (0, len(everything))
    gathered.ask(AskFeatureSums())
    assert federation.workers.outbox is gathered.outbox  # one account of all traffic
    assert federation.workers.outbox.total == Traffic(SUMS, 0)
    assert [found.id for found in federation.workers.ask(AskFacts())] == [0, 1, 2, 3]  # which are still there


def test_gathered_clients_are_the_same_each_time(federate: FederationMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = federate()
    assert federation.workers.gathered() is federation.workers.gathered()
    federation.gathered()
    monkeypatch.setattr(Encoder, "examples", lambda *given: pytest.fail("all was in tokens before"))
    assert federation.gathered().clients == federation.gathered().clients


def test_after_a_drift_the_drifted_clients_are_there(federate: FederationMaker) -> None:
    federation, single = federate(drift_at=2, drift_to="single"), federate(split="single")
    drifted = federation.workers.after_drift()
    assert isinstance(drifted, InProcess)
    assert [client.examples for client in drifted._clients.values()] == [c.examples for c in clients_of(single)]
    assert drifted.outbox is federation.workers.outbox
    assert [facts.examples for facts in drifted.ask(AskFacts())] == [facts.examples for facts in single.clients]


def test_an_answer_is_the_clients_own(federate: FederationMaker) -> None:
    workers, question = federate().workers, AskLocalClusters(Normalizer("none"), 2, seed=1)
    for client, answer in zip(clients_of(federate()), workers.ask(question), strict=True):
        alone = question.answer(client)
        np.testing.assert_array_equal(answer.sent.centroids, alone.sent.centroids)
        np.testing.assert_array_equal(answer.grouping.labels, alone.grouping.labels)


def test_memory_is_given_back_every_so_many_clients(federate: FederationMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, given = federate(), []
    monkeypatch.setattr(workers, "give_back_memory", lambda: given.append(len(given)))
    monkeypatch.setattr(workers, "TRIMMED_EVERY", 2)
    assert len(federation.ask(AskFacts())) == 4
    assert given == [0, 1]
