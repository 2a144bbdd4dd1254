"""A client: its local training, on its own examples alone."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from inside import backbone_of, clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.backbone.training import OptimizerSettings, Proximal, TrainedAdapter, dropout_seed
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group, Pull
from fedrouter_sim.messages import Failed, Update
from fedrouter_sim.randomness import numpy_generator

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]


def test_a_groups_pull_goes_to_the_anchor(federate: FederationMaker, same: Same) -> None:
    federation = federate()
    config, client, backbone = federation.config, clients_of(federation)[1], backbone_of(federation)
    start, anchor = (backbone.initial_adapter(seed) for seed in range(2))
    group = Group(1, 0, tuple(range(8)), "mine", pull=Pull("ours", 5.0))
    update = client.train(group, start, anchor, 3, 0.02, 1)
    examples = client.encoded[:8]
    batches = draw_batches([len(e) for e in examples], 3, config.batch_size, numpy_generator(1, "batches", 1, 1, 0))
    settings, seed = OptimizerSettings(0.02, config.weight_decay, config.clip), dropout_seed(1, 1, 1, 0)
    expected = backbone.train(start, examples, batches, settings, seed, pull=Proximal(anchor, 5.0))
    free = backbone.train(start, examples, batches, settings, seed)
    assert same(update.adapter, expected.adapter)
    assert not same(update.adapter, free.adapter)
    # Without a pull an anchor does nothing.
    assert same(client.train(dataclasses.replace(group, pull=None), start, anchor, 3, 0.02, 1).adapter, free.adapter)


def test_embeddings_and_tokens_are_computed_once(federate: FederationMaker) -> None:
    client = clients_of(federate())[0]
    assert client.embeddings is client.embeddings
    assert client.encoded is client.encoded
    assert client.embeddings.shape == (len(client.examples), 32)
    assert len(client.encoded) == len(client.examples)


def test_one_client_may_hold_the_examples_of_all_in_client_order(federate: FederationMaker) -> None:
    clients = clients_of(federate())
    one = Client.holding_all(clients)
    assert one.id == 0
    assert one.examples == tuple(example for client in clients for example in client.examples)
    assert one.encoded == [encoded for client in clients for encoded in client.encoded]


def test_training_is_the_backbones_on_the_groups_keyed_batches(federate: FederationMaker, same: Same) -> None:
    federation = federate(lora_dropout=0.2, weight_decay=0.1)
    config, client, backbone = federation.config, clients_of(federation)[2], backbone_of(federation)
    group = Group(2, 1, (0, 3, 4, 7, 9), "task_5", (1,))
    start = backbone.initial_adapter(0)
    losses: list[float] = []
    update = client.train(group, start, None, steps=3, lr=0.02, round_=4, on_step=losses.append)
    examples = backbone.encoder.examples([client.examples[i] for i in group.examples])
    generator = numpy_generator(config.seed, "batches", 4, 2, 1)
    batches = draw_batches([len(example) for example in examples], 3, config.batch_size, generator)
    expected = backbone.train(
        start, examples, batches, OptimizerSettings(0.02, 0.1, config.clip), dropout_seed(config.seed, 4, 2, 1)
    )
    assert same(update.adapter, expected.adapter)
    assert (update.client, update.group, update.pool, update.round) == (2, 1, "task_5", 4)
    assert (update.examples, update.clusters, update.steps) == (5, (1,), 3)
    assert update.tokens == expected.tokens == sum(len(examples[i]) for batch in batches for i in batch)
    assert update.loss == expected.loss == pytest.approx(sum(losses) / 3)
    assert update.nbytes == 4 * sum(value.numel() for value in start.values())


def test_training_depends_on_seed_round_client_and_group(federate: FederationMaker, same: Same) -> None:
    federation, other_seed = federate(), federate(seed=2)
    start = backbone_of(federation).initial_adapter(0)
    examples = clients_of(federation)[0].examples

    def train(client: int = 0, rank: int = 0, round_: int = 1, federation: Federation = federation) -> Update:
        chosen = clients_of(federation)[client]
        chosen.examples = examples  # the same examples everywhere, so that the key alone differs
        chosen.__dict__.pop("encoded", None)
        return chosen.train(Group(client, rank, tuple(range(8)), "global"), start, None, 2, 0.02, round_)

    first = train()
    assert same(train().adapter, first.adapter)
    for other in (train(client=1), train(rank=1), train(round_=2), train(federation=other_seed)):
        assert not same(other.adapter, first.adapter)


@pytest.mark.parametrize(("loss", "what"), [(1.0, "a weight"), (math.inf, "the loss")])
def test_training_that_diverges_is_answered_in_place_of_an_update(
    federate: FederationMaker, monkeypatch: pytest.MonkeyPatch, loss: float, what: str
) -> None:
    federation = federate()
    backbone, client = backbone_of(federation), clients_of(federation)[1]
    start = backbone.initial_adapter(0)
    broken = {key: value * torch.nan for key, value in start.items()}
    adapter = broken if what == "a weight" else start
    monkeypatch.setattr(backbone, "train", lambda *given, **more: TrainedAdapter(adapter, loss, tokens=7, steps=2))
    failed = client.train(Group(1, 0, (0, 1), "mine"), start, None, 5, 0.02, 3)
    assert failed == Failed(1, 0, "mine", 3, 0.02, what, steps=2, spared=3, tokens=7)
    assert str(failed).startswith("round 3, client 1: training of mine stopped after step 2, at learning rate 0.02: ")
    assert what in str(failed) and "\n" not in str(failed)
    assert not client.first_update([0, 1], start, 1, (0,)).any() or what == "the loss"


def test_a_trial_step_is_on_a_batch_of_middle_length_and_changes_nothing(federate: FederationMaker, same: Same) -> None:
    federation = federate(lora_dropout=0.2)
    config, client, backbone = federation.config, clients_of(federation)[0], backbone_of(federation)
    group = Group(0, 0, tuple(range(8)), "mine")
    start = backbone.initial_adapter(0)

    def train() -> Any:
        return client.train(group, start, None, 2, 0.02, 1).adapter

    before = train()
    tokens = client.trial_step(group)
    lengths = [len(example) for example in client.encoded[:8]]
    generator = numpy_generator(config.seed, "measured step")
    batches = draw_batches(lengths, config.local_steps, config.batch_size, generator)
    assert tokens == sorted(sum(lengths[i] for i in batch) for batch in batches)[config.local_steps // 2]
    assert tokens == client.trial_step(group)
    assert same(train(), before)
