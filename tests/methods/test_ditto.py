"""Ditto: a shared adapter as in FedAvg, and a personal one that is pulled towards it and answers."""

from collections.abc import Callable
from typing import Any

import pytest
from inside import backbone_of, clients_of

from fedrouter_sim.adapters.state import Adapter, adapter_bytes
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.backbone.training import OptimizerSettings, Proximal, dropout_seed
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.plan import Asked, Choice
from fedrouter_sim.federation.schedule import learning_rate
from fedrouter_sim.methods import find_method
from fedrouter_sim.randomness import numpy_generator

Simulator = Callable[..., Any]
Same = Callable[[Adapter, Adapter], bool]
OWN = ["client_000", "client_001", "client_002", "client_003"]


def test_no_pull_goes_to_factors_of_another_basis(run_method: Simulator) -> None:
    with pytest.raises(UserError, match=r"^--aggregation product: .*; with ditto take another rule, as mean, or"):
        run_method("ditto", aggregation="product")
    assert run_method("ditto", aggregation="product", ditto_lambda=0.0, rounds=1, local_steps=1).outcome.records


@pytest.fixture(scope="module")
def pulled(run_method: Simulator) -> Any:
    """A run with a strong pull, so that where it goes to shows."""
    return run_method("ditto", ditto_lambda=8.0, local_steps=6, rounds=3)


def test_without_a_pull_the_personal_adapters_are_those_of_local_training(run_method: Simulator, same: Same) -> None:
    changes = {"budget": "per-group", "lora_dropout": 0.2, "participation": 0.75, "rounds": 3}
    ditto, local = run_method("ditto", ditto_lambda=0.0, **changes), run_method("local", **changes)
    assert list(ditto.outcome.adapters) == [*OWN, "global"]
    assert list(local.outcome.adapters) == OWN
    assert all(same(ditto.outcome.adapters[pool], local.outcome.adapters[pool]) for pool in OWN)


@pytest.mark.parametrize("round_", [2, 3])
def test_the_pull_goes_to_the_global_adapter_of_the_rounds_start(pulled: Any, same: Same, round_: int) -> None:
    federation, config, before = pulled.federation, pulled.federation.config, pulled.heard.adapters[round_ - 1]
    client = clients_of(federation)[1]
    [update] = [update for update in pulled.heard.updates[round_] if update.pool == "client_001"]
    lr = learning_rate(round_, 3, config.lr, config.lr_min)
    batches = draw_batches(
        [len(e) for e in client.encoded], 3, config.batch_size, numpy_generator(1, "batches", round_, 1, update.group)
    )

    def by_hand(anchor: Adapter) -> Adapter:
        return (
            backbone_of(federation)
            .train(
                before["client_001"],
                client.encoded,
                batches,
                OptimizerSettings(lr, config.weight_decay, config.clip),
                dropout_seed(1, round_, 1, update.group),
                pull=Proximal(anchor, 8.0),
            )
            .adapter
        )

    assert same(update.adapter, by_hand(before["global"]))
    aggregated = pulled.heard.adapters[round_]["global"]
    for wrong in (backbone_of(federation).initial_adapter(1), aggregated, before["client_001"]):
        assert not same(update.adapter, by_hand(wrong))


def test_the_shared_adapter_is_the_mean_of_updates_without_a_pull(
    pulled: Any, weighted_mean: Callable[..., dict[str, Any]]
) -> None:
    federation, config = pulled.federation, pulled.federation.config
    shared = [update for update in pulled.heard.updates[2] if update.pool == "global"]
    assert [update.client for update in shared] == [0, 1, 2, 3]
    trained = []
    for update in shared:
        [_, group] = pulled.outcome.plan.groups_of(update.client)
        assert (group.pool, group.pull) == ("global", None)
        lr = learning_rate(2, 3, config.lr, config.lr_min)
        start = pulled.heard.adapters[1]["global"]
        trained.append(clients_of(federation)[update.client].train(group, start, None, 3, lr, 2).adapter)
    expected = weighted_mean(trained, [update.examples for update in shared])
    for key, value in pulled.heard.adapters[2]["global"].items():
        assert value.numpy() == pytest.approx(expected[key], rel=1e-6)


@pytest.mark.parametrize(("local_steps", "personal", "shared"), [(4, 2, 2), (5, 3, 2), (10, 5, 5)])
def test_the_two_adapters_share_the_clients_steps(
    run_method: Simulator, local_steps: int, personal: int, shared: int
) -> None:
    done = run_method("ditto", local_steps=local_steps, rounds=1)
    assert [(u.pool == "global", u.steps) for u in done.heard.updates[1]] == [(False, personal), (True, shared)] * 4
    assert done.outcome.records[0].steps == 4 * local_steps


def test_only_the_shared_adapter_is_sent(pulled: Any) -> None:
    size = adapter_bytes(pulled.outcome.adapters["global"])
    assert [(r.bytes_up, r.bytes_down) for r in pulled.outcome.records] == [(4 * size, 4 * size)] * 3
    assert {pool.name: pool.private for pool in pulled.outcome.plan.pools} == dict.fromkeys(OWN, True) | {
        "global": False
    }  # fmt: skip


def test_the_personal_adapter_answers(pulled: Any) -> None:
    asked = Asked(2, ("a", "b", "c"), lambda: pytest.fail("nobody needs embeddings"))
    assert find_method("ditto").answered_by(pulled.outcome.deployment, asked, "fixed") == [Choice.of("client_002")] * 3
