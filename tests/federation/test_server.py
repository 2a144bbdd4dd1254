"""The server: one adapter per pool, and weighted means of what each pool receives."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from fedrouter_sim.adapters.aggregation import find_aggregation
from fedrouter_sim.adapters.aggregation.gap import FactorGap, Probes
from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.server import Server
from fedrouter_sim.messages import Update


def adapter(seed: int) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    return {"x.lora_A.weight": torch.randn(2, 3, generator=generator), "x.lora_B.weight": torch.randn(4, 2)}


def update(pool: str, examples: int, weights: Adapter, client: int = 0) -> Update:
    return Update(client, 0, pool, 1, examples, (), weights, loss=1.0, steps=1, tokens=1)


def server_of(*pools: str, initial: Adapter | None = None) -> Server:
    server = Server(initial or adapter(0), WeightedMean, seed=1)
    server.open(dict.fromkeys(pools))
    return server


def test_pools_start_from_the_initial_adapter() -> None:
    initial = adapter(0)
    server = Server(initial, WeightedMean, seed=1)
    server.open({"one": None, "two": None})
    assert list(server.adapters) == ["one", "two"]
    assert all(found is initial for found in server.adapters.values())


def test_opened_pools_replace_the_others_and_keep_or_inherit_their_adapters() -> None:
    initial, one, two = adapter(0), adapter(1), adapter(2)
    server = server_of("one", "two", initial=initial)
    server.receive(update("one", 1, one))
    server.receive(update("two", 1, two))
    server.aggregate()
    before = dict(server.adapters)
    server.open({"two": "one", "child": "one", "grandchild": "one", "new": None})
    assert list(server.adapters) == ["two", "child", "grandchild", "new"]
    assert server.adapters["two"] is before["two"]  # it is there already: its parent does not matter
    assert server.adapters["child"] is server.adapters["grandchild"] is before["one"]
    assert server.adapters["new"] is initial
    with pytest.raises(KeyError):
        server.open({"orphan": "one"})


def test_whoever_holds_a_rounds_starts_keeps_them() -> None:
    server = server_of("one")
    starts = server.adapters
    first = starts["one"]
    server.receive(update("one", 1, adapter(1)))
    server.aggregate()
    assert starts["one"] is first
    assert server.adapters["one"] is not first


def test_mean_is_weighted_by_examples(weighted_mean: Callable[..., dict[str, np.ndarray]]) -> None:
    server = server_of("one")
    parts, weights = [adapter(1), adapter(2), adapter(3)], [10, 1, 7]
    for part, examples in zip(parts, weights, strict=True):
        server.receive(update("one", examples, part))
    server.aggregate()
    expected = weighted_mean(parts, weights)
    for key, value in server.adapters["one"].items():
        assert value.dtype == torch.float32
        np.testing.assert_allclose(value.numpy(), expected[key], rtol=1e-6)
    uniform = weighted_mean(parts, [1, 1, 1])
    assert not np.allclose(server.adapters["one"]["x.lora_A.weight"].numpy(), uniform["x.lora_A.weight"], atol=1e-3)


def test_pools_do_not_mix_and_one_without_updates_keeps_its_adapter(same: Callable[[Adapter, Adapter], bool]) -> None:
    initial = adapter(0)
    server = server_of("one", "two", "three", initial=initial)
    first, second = adapter(1), adapter(2)
    server.receive(update("one", 3, first))
    server.receive(update("three", 5, second))
    server.aggregate()
    assert same(server.adapters["one"], first)
    assert same(server.adapters["three"], second)
    assert server.adapters["two"] is initial


def test_updates_count_for_one_round_only(same: Callable[[Adapter, Adapter], bool]) -> None:
    server = server_of("one")
    server.receive(update("one", 1000, adapter(1)))
    server.aggregate()
    latest = adapter(2)
    server.receive(update("one", 1, latest))
    server.aggregate()
    assert same(server.adapters["one"], latest)
    server.aggregate()
    assert same(server.adapters["one"], latest)


def test_every_pool_of_a_round_has_an_aggregate_of_its_own_rule() -> None:
    made: list[WeightedMean] = []

    def new_aggregation() -> WeightedMean:
        made.append(WeightedMean())
        return made[-1]

    server = Server(adapter(0), new_aggregation, seed=1)
    server.open({"one": None, "two": None, "three": None})
    for round_ in (1, 2):
        for pool in ("one", "two", "one"):
            server.receive(update(pool, 1, adapter(round_)))
        server.aggregate()
        assert len(made) == 2 * round_
    by_product = Server(adapter(0), find_aggregation("product", rank=2), seed=1)
    by_product.open({"one": None})
    one, two = adapter(1), adapter(2)
    by_product.receive(update("one", 1, one))
    by_product.receive(update("one", 1, two))
    by_product.aggregate()
    mean = [by_product.adapters["one"][f"x.lora_{factor}.weight"] for factor in "BA"]
    assert mean[0].shape == (4, 2)
    assert not torch.allclose(mean[1], (one["x.lora_A.weight"] + two["x.lora_A.weight"]) / 2)


@pytest.mark.parametrize("rule", ["mean", "product"])
def test_the_gap_of_each_pools_updates_is_that_of_the_round_whatever_the_rule(rule: str) -> None:
    server = Server(adapter(0), find_aggregation(rule, rank=2), seed=7)
    server.open({"two": None, "one": None, "idle": None})
    parts, weights = [adapter(1), adapter(2), adapter(3)], [10, 1, 7]
    found: list[dict[str, float | None]] = []
    for _ in range(2):  # a round knows nothing of the one before
        for part, examples in zip(parts, weights, strict=True):
            server.receive(update("two", examples, part))
        server.receive(update("one", 5, parts[0]))
        found.append(server.aggregate())
    gap = FactorGap(Probes(7))
    for part, examples in zip(parts, weights, strict=True):
        gap.add(part, examples)
    assert found == [{"one": 0.0, "two": gap.value()}] * 2 and list(found[0]) == ["one", "two"]
    assert server.aggregate() == {}


@pytest.mark.parametrize("rule", ["mean", "median", "product"])
def test_a_private_pool_takes_its_update_as_it_is_without_gap_and_sums(rule: str) -> None:
    server = Server(adapter(0), find_aggregation(rule, rank=2), seed=7)
    server.open({"own": None, "shared": None})
    server.admit(private=["own"])
    for seed in (1, 2):  # a round knows nothing of the one before
        own = adapter(seed)
        server.receive(update("own", 5, own))
        server.receive(update("shared", 5, adapter(3), client=1))
        assert server.aggregate() == {"shared": 0.0}
        assert all(server.adapters["own"][key] is value for key, value in own.items())
    server.receive(update("own", 5, own))
    server.receive(update("shared", 5, adapter(4), client=1))
    server.skip()
    assert server.aggregate() == {}


def test_a_second_update_of_a_private_pool_counts() -> None:
    server = server_of("own")
    server.admit(private=["own"])
    one, two = adapter(1), adapter(2)
    server.receive(update("own", 1, one))
    server.receive(update("own", 3, two))
    assert server.aggregate() == {}
    for key, value in server.adapters["own"].items():
        assert torch.equal(value, ((one[key].double() + 3 * two[key].double()) / 4).float())


def test_an_adapter_that_is_not_finite_is_refused() -> None:
    server = server_of("one")
    before = server.adapters["one"]
    broken = {key: value * torch.nan for key, value in adapter(1).items()}
    assert server.receive(update("one", 1, broken)) is None
    assert [(refusal["pool"], "not finite" in refusal["reason"]) for refusal in server.refused] == [("one", True)]
    server.aggregate()
    assert server.adapters["one"] is before
