"""FedProx: FedAvg whose clients are held near the global adapter of the round's start."""

from collections.abc import Callable
from typing import Any

import pytest
from inside import backbone_of, clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.backbone.training import OptimizerSettings, Proximal, dropout_seed
from fedrouter_sim.federation.groups import Pull
from fedrouter_sim.federation.plan import Asked, Choice, Deployment
from fedrouter_sim.federation.schedule import learning_rate
from fedrouter_sim.methods import find_method
from fedrouter_sim.randomness import numpy_generator

Simulator = Callable[..., Any]
Same = Callable[[Adapter, Adapter], bool]


def distance(one: Adapter, two: Adapter) -> float:
    return sum(float((one[key] - two[key]).square().sum()) for key in one) ** 0.5


def test_without_a_pull_it_is_fedavg_to_the_bit(run_method: Simulator, same: Same) -> None:
    changes = {"lora_dropout": 0.2, "participation": 0.75, "rounds": 3}
    fedprox, fedavg = run_method("fedprox", fedprox_mu=0.0, **changes), run_method("fedavg", **changes)
    assert same(fedprox.outcome.adapters["global"], fedavg.outcome.adapters["global"])
    assert [record.losses for record in fedprox.outcome.records] == [r.losses for r in fedavg.outcome.records]
    assert fedprox.outcome.deployment == fedavg.outcome.deployment


def test_a_strong_pull_keeps_updates_nearer_to_the_rounds_global_adapter(run_method: Simulator) -> None:
    changes = {"local_steps": 8, "lora_dropout": 0.0}
    free, held = run_method("fedprox", fedprox_mu=0.0, **changes), run_method("fedprox", fedprox_mu=20.0, **changes)
    for round_ in (1, 2):
        far, near = (
            [
                distance(
                    update.adapter,
                    one.heard.adapters[round_ - 1]["global"] if round_ > 1 else one.federation.initial,
                )
                for update in one.heard.updates[round_]
            ]
            for one in (free, held)
        )
        assert all(n < 0.9 * f for n, f in zip(near, far, strict=True)), (near, far)


def test_the_pull_goes_to_the_global_adapter_of_the_rounds_start(run_method: Simulator, same: Same) -> None:
    done = run_method("fedprox", fedprox_mu=3.0)
    federation, config = done.federation, done.federation.config
    assert {group.pull for group in done.outcome.plan.groups} == {Pull("global", 3.0)}
    client = clients_of(federation)[1]
    settings = OptimizerSettings(learning_rate(2, 2, config.lr, config.lr_min), config.weight_decay, config.clip)
    batches = draw_batches(
        [len(example) for example in client.encoded], 4, config.batch_size, numpy_generator(1, "batches", 2, 1, 0)
    )

    def by_hand(anchor: Adapter) -> Any:
        start = done.heard.adapters[1]["global"]
        return backbone_of(federation).train(
            start, client.encoded, batches, settings, dropout_seed(1, 2, 1, 0), pull=Proximal(anchor, 3.0)
        )

    [update] = [update for update in done.heard.updates[2] if update.client == 1]
    expected = by_hand(done.heard.adapters[1]["global"])
    assert same(update.adapter, expected.adapter)
    assert update.loss == expected.loss
    assert not same(update.adapter, by_hand(backbone_of(federation).initial_adapter(1)).adapter)


def test_the_global_adapter_answers_everything(run_method: Simulator) -> None:
    done = run_method("fedprox", rounds=1, local_steps=1)
    asked = Asked(2, ("a", "b", "c"), lambda: pytest.fail("nobody needs embeddings"))
    assert find_method("fedprox").answered_by(Deployment(done.outcome.plan.pools), asked, "fixed") == [
        Choice.of("global")
    ] * 3  # fmt: skip
