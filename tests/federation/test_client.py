"""A client: shared steps, local clustering, local training."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.backbone.model import OptimizerSettings, Proximal, dropout_seed
from fedrouter_sim.clustering.kmeans import Normalizer
from fedrouter_sim.federation.client import participants, share_steps
from fedrouter_sim.messages import Group, Pull, Update
from fedrouter_sim.methods import Federation
from fedrouter_sim.randomness import numpy_generator

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]


def groups_of_sizes(*sizes: int) -> list[Group]:
    return [Group(0, rank, tuple(range(size)), f"task_{rank}") for rank, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "local_steps", "expected"),
    [
        ((30, 10), 8, [6, 2]),
        ((10, 10, 10), 10, [4, 3, 3]),  # the remainder goes to the first of equals
        ((12, 19), 10, [4, 6]),  # 3.87 and 6.13: the larger remainder wins
        ((97, 1, 1, 1), 10, [7, 1, 1, 1]),  # at least 1, taken from who has most
        ((5,), 10, [10]),
        ((9, 1), 1, [1, 1]),  # more groups than steps
        ((9, 1, 1), 3, [1, 1, 1]),
        ((), 10, []),
    ],
)
def test_shared_steps(sizes: tuple[int, ...], local_steps: int, expected: list[int]) -> None:
    assert share_steps(groups_of_sizes(*sizes), local_steps, "shared") == expected


def test_shared_steps_sum_to_the_budget() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        sizes = generator.integers(1, 200, generator.integers(1, 6))
        local_steps = int(generator.integers(len(sizes), 30))
        steps = share_steps(groups_of_sizes(*sizes), local_steps, "shared")
        assert sum(steps) == local_steps
        assert min(steps) >= 1
        if 1 not in steps:
            exact = local_steps * sizes / sizes.sum()
            assert (abs(np.array(steps) - exact) < 1).all()


def test_per_group_steps() -> None:
    assert share_steps(groups_of_sizes(97, 1, 1), 10, "per-group") == [10, 10, 10]


@pytest.mark.parametrize("budget", ["shared", "per-group"])
def test_steps_that_a_method_fixed_are_taken_whatever_the_budget(budget: str) -> None:
    groups = [dataclasses.replace(g, steps=n) for g, n in zip(groups_of_sizes(97, 3), (2, 9), strict=True)]
    assert share_steps(groups, 10, budget) == [2, 9]
    with pytest.raises(ValueError, match="either all or none"):
        share_steps([groups[0], *groups_of_sizes(3)], 10, budget)


@pytest.mark.parametrize(("clients", "participation", "expected"), [(10, 0.25, 2), (10, 0.01, 1), (3, 1.0, 3)])
def test_participants_are_a_rounded_share_and_at_least_one(clients: int, participation: float, expected: int) -> None:
    assert participants(clients, participation) == expected


def test_a_groups_pull_goes_to_the_adapter_of_its_pool(federate: FederationMaker, same: Same) -> None:
    federation = federate()
    config, client, backbone = federation.config, federation.clients[1], federation.backbone
    start, anchor, other = (backbone.initial_adapter(seed) for seed in range(3))
    group = Group(1, 0, tuple(range(8)), "mine", pull=Pull("ours", 5.0))
    update = client.train(group, {"other": other, "mine": start, "ours": anchor}, 3, 0.02, 1)
    examples = client.encoded[:8]
    batches = draw_batches([len(e) for e in examples], 3, config.batch_size, numpy_generator(1, "batches", 1, 1, 0))
    settings, seed = OptimizerSettings(0.02, config.weight_decay, config.clip), dropout_seed(1, 1, 1, 0)
    expected = backbone.train(start, examples, batches, settings, seed, pull=Proximal(anchor, 5.0))
    assert same(update.adapter, expected.adapter)
    assert not same(update.adapter, backbone.train(start, examples, batches, settings, seed).adapter)


def test_clusters_and_their_message(federate: FederationMaker) -> None:
    client = federate().clients[1]
    clustering = client.cluster(Normalizer("none"))
    message = client.describe(clustering)
    assert message.client == 1
    assert list(message.sizes) == [int((clustering.labels == c).sum()) for c in range(2)]
    assert message.sizes.sum() == len(client.examples)
    for cluster in range(2):
        own = np.flatnonzero(clustering.labels == cluster)
        np.testing.assert_allclose(message.centroids[cluster], client.embeddings[own].mean(0), atol=1e-5)
        assert message.answer_tokens[cluster] == max(len(client.encoded[i].response) for i in own)
    assert message.nbytes == 2 * 32 * 4 + 2 * 8 + 2 * 8


def test_what_leaves_a_client_holds_no_text(federate: FederationMaker) -> None:
    client = federate().clients[0]
    clustering = client.cluster(Normalizer("none"))
    for message in (client.describe(clustering), client.feature_sums()):
        for field in dataclasses.fields(message):
            value = getattr(message, field.name)
            assert isinstance(value, int) or value.dtype.kind in "fi"


def test_fewer_clusters_than_asked_where_examples_are_equal(federate: FederationMaker) -> None:
    client = federate(local_clusters=4).clients[0]
    client.__dict__["embeddings"] = np.repeat(np.eye(3, 32, dtype=np.float32), 7, axis=0)[: len(client.examples)]
    assert len(client.cluster(Normalizer("none")).sizes) == 3


def test_embeddings_are_computed_once(federate: FederationMaker) -> None:
    client = federate().clients[0]
    assert client.embeddings is client.embeddings
    assert client.encoded is client.encoded


def test_training_is_the_backbones_on_the_groups_keyed_batches(federate: FederationMaker, same: Same) -> None:
    federation = federate(lora_dropout=0.2, weight_decay=0.1)
    config, client, backbone = federation.config, federation.clients[2], federation.backbone
    group = Group(2, 1, (0, 3, 4, 7, 9), "task_5", (1,))
    start = backbone.initial_adapter(0)
    losses: list[float] = []
    update = client.train(group, {"task_5": start}, steps=3, lr=0.02, round_=4, on_step=losses.append)
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
    start = federation.backbone.initial_adapter(0)
    examples = federation.clients[0].examples

    def train(client: int = 0, rank: int = 0, round_: int = 1, clients: tuple[object, ...] = ()) -> Update:
        chosen = (clients or federation.clients)[client]
        chosen.examples = examples  # the same examples everywhere, so that the key alone differs
        chosen.__dict__.pop("encoded", None)
        return chosen.train(Group(client, rank, tuple(range(8)), "global"), {"global": start}, 2, 0.02, round_)

    first = train()
    assert same(train().adapter, first.adapter)
    for other in (train(client=1), train(rank=1), train(round_=2), train(clients=other_seed.clients)):
        assert not same(other.adapter, first.adapter)
