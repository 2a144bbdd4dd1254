"""A federation as a method sees it: settings, facts, and what may be asked; never a client."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from inside import backbone_of, clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation, build_federation
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.questions import AskFacts, AskLabels
from fedrouter_sim.federation.task_questions import AskFeatureSums
from fedrouter_sim.messages import Tasks
from fedrouter_sim.partition.run_data import partition_data

FederationMaker = Callable[..., Federation]


def test_it_is_built_of_the_data_and_the_backbone(
    micro_config: Callable[..., RunConfig], backbone: Backbone, same: Callable[[Adapter, Adapter], bool]
) -> None:
    config = micro_config(drift_at=2, drift_to="single")
    data = partition_data(config)
    federation = build_federation(config, data, backbone)
    assert federation.config is config
    assert [client.examples for client in clients_of(federation)] == [own.train for own in data.clients]
    assert [client.examples for client in clients_of(federation.after_drift())] == [o.train for o in data.drifted]
    assert same(federation.initial, backbone.initial_adapter(config.seed))
    assert (federation.max_tokens, federation.backbone_digest) == (backbone.encoder.limit, backbone.digest)
    assert backbone_of(federation) is backbone
    assert federation.workers.outbox.total == Traffic()  # facts are too small to be counted


def test_of_a_client_it_holds_facts_alone(federate: FederationMaker) -> None:
    federation = federate()
    assert federation.clients == tuple(AskFacts().answer(client) for client in clients_of(federation))
    assert federation.ids == [0, 1, 2, 3]
    responses = [len(encoded.response) for client in clients_of(federation) for encoded in client.encoded]
    assert federation.longest_answer == max(responses)
    held = [getattr(federation, field.name) for field in dataclasses.fields(federation)]
    assert not any(isinstance(value, Client | Backbone) for value in held)


def test_asking_and_telling_go_through_the_workers(federate: FederationMaker) -> None:
    federation = federate()
    assert [found.client for found in federation.ask(AskLabels())] == [0, 1, 2, 3]
    assert [found.client for found in federation.ask(AskLabels(), [2])] == [2]
    federation.ask(AskFeatureSums(), [0])
    federation.tell({1: Tasks(1, (0,), (np.zeros((1, 2), dtype=np.float32),))})
    assert federation.workers.outbox.total == Traffic(2 * 32 * 8 + 8, 8 + 8)


def test_gathered_it_has_one_client_that_holds_everybodys_examples(federate: FederationMaker) -> None:
    federation = federate()
    one = federation.gathered()
    [facts] = one.clients
    assert (facts.id, facts.examples) == (0, sum(client.examples for client in federation.clients))
    assert facts.answer_tokens == one.longest_answer == federation.longest_answer
    assert (one.config, one.backbone_digest) == (federation.config, federation.backbone_digest)
    assert len(federation.clients) == 4  # as before


def test_after_a_drift_it_has_the_facts_of_the_new_data(federate: FederationMaker) -> None:
    federation, single = federate(drift_at=2, drift_to="single"), federate(split="single")
    assert federation.after_drift().clients == single.clients != federation.clients
    assert federation.after_drift().gathered().clients == single.gathered().clients


def test_it_cannot_be_changed(federate: FederationMaker) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        federate().max_tokens = 1  # type: ignore[misc]
