"""The table of aggregation rules: shipped ones, one's own, and rounds that use them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from some_adapters import aggregated, constant_adapter, product, random_adapter, same

from fedrouter_sim.adapters.aggregation import AGGREGATIONS, find_aggregation
from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.aggregation.product import ProductMean
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError

Simulator = Callable[..., Any]

MEDIAN = """
import torch

from fedrouter_sim import Aggregation


class Median(Aggregation):
    name = "own-median"

    def __init__(self, rank, least: int = 1):
        super().__init__(rank)
        self.least, self.adapters = least, []

    def add(self, adapter, weight):
        self.adapters.append(adapter)

    def result(self):
        if len(self.adapters) < self.least:
            raise ValueError("too few")
        return {key: torch.stack([a[key] for a in self.adapters]).median(0).values for key in self.adapters[0]}


class Fussy(Median):
    name = "fussy"

    def __init__(self, rank):
        raise ValueError("not today")
"""


@pytest.fixture
def median(tmp_path: Path) -> str:
    """The coordinate-wise median, in a file of the user's."""
    (tmp_path / "mine.py").write_text(MEDIAN, encoding="utf-8")
    return f"{tmp_path / 'mine.py'}:Median"


def test_the_shipped_rules_are_found_by_name() -> None:
    assert AGGREGATIONS.names == ("mean", "product", "median", "trimmed-mean", "krum", "geometric-median")
    mean, by_products = find_aggregation("mean", 4)(), find_aggregation("product", 4)()
    assert isinstance(mean, WeightedMean) and isinstance(by_products, ProductMean)
    assert mean.rank == by_products.rank == 4


def test_every_running_aggregate_begins_empty() -> None:
    new_aggregation = find_aggregation("mean", 3)
    one, two = new_aggregation(), new_aggregation()
    assert same(aggregated(one, [constant_adapter(1.0)], [1]), constant_adapter(1.0))
    assert same(aggregated(two, [constant_adapter(3.0)], [1]), constant_adapter(3.0))


def test_a_rule_that_truncates_says_what_was_lost_and_another_nothing() -> None:
    adapters, weights = [random_adapter(seed) for seed in range(3)], [1.0, 2.0, 3.0]
    mean, by_products = find_aggregation("mean", 2)(), find_aggregation("product", 2)()
    assert mean.lost is by_products.lost is None
    aggregated(mean, adapters, weights)
    aggregated(by_products, adapters, weights)
    assert mean.lost is None and by_products.lost is not None
    assert 0 < by_products.lost < 1


def test_an_unknown_rule_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match=r"--aggregation mode: choose one of mean, product, .*, or .* FILE\.py:CLASS"):
        find_aggregation("mode", 2)


def test_an_own_rule_is_used_with_its_options(median: str) -> None:
    values = [constant_adapter(value) for value in (1.0, 100.0, 2.0)]
    assert same(aggregated(find_aggregation(median, 3)(), values, [1, 1, 1]), constant_adapter(2.0))
    strict = find_aggregation(median, 3, {"least": "4", "unrelated": "x"})()
    with pytest.raises(ValueError, match="too few"):
        aggregated(strict, values, [1, 1, 1])
    with pytest.raises(UserError, match="--option least=many: must be of type int"):
        find_aggregation(median, 3, {"least": "many"})


def test_an_own_rule_that_cannot_be_made_is_refused_before_the_first_round(median: str) -> None:
    fussy = median.replace("Median", "Fussy")
    with pytest.raises(UserError, match=r"Fussy cannot be made \(ValueError: not today\)") as caught:
        find_aggregation(fussy, 3)
    assert "\n" not in str(caught.value)


def by_hand(simulated: Any, rule: str, rank: int) -> dict[tuple[int, str], Adapter]:
    """The adapter of each pool after each round, made of the updates that the server received."""
    found = {}
    for round_, updates in simulated.heard.updates.items():
        for pool in {update.pool for update in updates}:
            own = [update for update in updates if update.pool == pool]
            new = find_aggregation(rule, rank)()
            found[round_, pool] = aggregated(new, [u.adapter for u in own], [u.examples for u in own])
    return found


@pytest.mark.parametrize("method", ["fedavg", "fedrouter"])
def test_the_rounds_of_a_run_use_the_rule_of_its_settings(run_method: Simulator, median: str, method: str) -> None:
    results = {}
    for rule in ("mean", "product", median):
        simulated = run_method(method, aggregation=rule, sharing="none", local_steps=4)
        expected = by_hand(simulated, rule, 2)
        assert len(expected) >= 2
        for (round_, pool), adapter in expected.items():
            assert same(simulated.heard.adapters[round_][pool], adapter), (rule, round_, pool)
        results[rule] = simulated.outcome.adapters
    for rule in ("product", median):
        pools = results["mean"].keys()
        assert not all(same(results["mean"][pool], results[rule][pool]) for pool in pools)


def test_what_a_client_has_for_itself_is_the_same_under_every_rule(run_method: Simulator, median: str) -> None:
    results = [run_method("local", aggregation=rule, local_steps=4).outcome for rule in ("mean", "product", median)]
    for other in results[1:]:
        assert all(same(adapter, other.adapters[pool]) for pool, adapter in results[0].adapters.items())


def test_the_mean_of_the_products_of_one_client_is_its_own_product() -> None:
    """B A stays, in another basis."""
    own = random_adapter(1)
    found = aggregated(ProductMean(3), [own], [7])
    torch.testing.assert_close(product(found), product(own), rtol=1e-4, atol=1e-5)


def test_products_are_of_the_rank_asked_for() -> None:
    found = aggregated(ProductMean(2), [random_adapter(1, rank=5)], [3])
    assert all(2 in value.shape for value in found.values())
    left, values, right = torch.linalg.svd(product(random_adapter(1, rank=5)), full_matrices=False)
    torch.testing.assert_close(product(found), left[:, :2] * values[:2] @ right[:2], rtol=1e-4, atol=1e-5)
