"""The weighted mean of adapters, factor by factor."""

from collections.abc import Sequence

import pytest
import torch
from some_adapters import A, B, aggregated, constant_adapter, random_adapter, same

from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.state import Adapter, check_compatible


def mean_of(adapters: Sequence[Adapter], weights: Sequence[float]) -> Adapter:
    return aggregated(WeightedMean(), adapters, weights)


@pytest.mark.parametrize("weights", [(1,), (1, 1, 1), (600, 7, 13), (1, 10_000, 3, 977)])
def test_the_mean_of_equal_adapters_is_that_adapter_to_the_bit(weights: tuple[int, ...]) -> None:
    adapter = random_adapter(0)
    assert same(mean_of([adapter] * len(weights), weights), adapter)


@pytest.mark.parametrize("weight", [1, 7, 333, 10_000_019, 0.1, 3.3, 1e-9])
@pytest.mark.parametrize("size", [1.0, 1e-3, 1e30, 1e-42])
def test_a_single_adapter_is_held_as_it_is_with_the_bits_that_its_sums_would_give(weight: float, size: float) -> None:
    adapter = {key: value * size for key, value in random_adapter(3).items()}
    mean = mean_of([adapter], [weight])
    assert all(mean[key] is value for key, value in adapter.items())
    for value in adapter.values():
        summed = torch.zeros(value.shape, dtype=torch.float64).add_(value.double(), alpha=weight)
        assert torch.equal((summed / weight).float(), value)


def test_sums_begun_with_the_second_adapter_have_the_bits_of_sums_begun_with_the_first() -> None:
    adapters, weights = [random_adapter(seed) for seed in range(4)], [3, 0.1, 77, 1]
    mean = mean_of(adapters, weights)
    for key in (A, B):
        sums = torch.zeros(adapters[0][key].shape, dtype=torch.float64)
        for adapter, weight in zip(adapters, weights, strict=True):
            sums.add_(adapter[key].double(), alpha=weight)
        assert torch.equal(mean[key], (sums / sum(weights)).float())


@pytest.mark.parametrize("weights", [(1, 2), (0.1, 0.2), (1e-9, 1e9), (3.3, 3.3, 3.3, 0.1)])
@pytest.mark.parametrize("value", [1.0, -0.1, 1e-20])
def test_the_weights_sum_to_one(weights: tuple[float, ...], value: float) -> None:
    mean = mean_of([constant_adapter(value)] * len(weights), weights)
    for factor in mean.values():
        torch.testing.assert_close(factor, torch.full_like(factor, value), rtol=2e-7, atol=0)


def test_the_mean_weights_by_example_counts() -> None:
    mean = mean_of([constant_adapter(0.0), constant_adapter(4.0)], [30, 10])
    assert same(mean, constant_adapter(1.0))


def test_the_mean_agrees_with_the_formula_in_float64() -> None:
    adapters, weights = [random_adapter(seed) for seed in range(7)], [1, 20, 300, 4, 5, 66, 7]
    mean = mean_of(adapters, weights)
    for key in (A, B):
        stacked = torch.stack([adapter[key].double() for adapter in adapters])
        expected = (stacked * torch.tensor(weights, dtype=torch.float64)[:, None, None]).sum(0) / sum(weights)
        torch.testing.assert_close(mean[key], expected.float(), rtol=1e-6, atol=1e-7)


def test_scaling_all_weights_changes_nothing() -> None:
    adapters = [random_adapter(1), random_adapter(2), random_adapter(3)]
    assert same(mean_of(adapters, [1, 2, 5]), mean_of(adapters, [64, 128, 320]))


def test_the_same_order_gives_the_same_bits() -> None:
    adapters, weights = [random_adapter(seed) for seed in range(20)], [seed + 0.1 for seed in range(20)]
    assert same(mean_of(adapters, weights), mean_of(adapters, weights))


def test_adding_leaves_the_added_adapters_alone() -> None:
    adapters = [random_adapter(1), random_adapter(2)]
    mean_of(adapters, [2, 3])
    assert same(adapters[0], random_adapter(1)) and same(adapters[1], random_adapter(2))


def test_the_mean_keeps_type_and_total() -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 5)
    mean.add(random_adapter(1), 7)
    assert mean.total == 12
    assert all(factor.dtype == torch.float32 for factor in mean.result().values())


def test_the_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no adapters"):
        WeightedMean().result()


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_a_weight_that_is_not_positive_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="not positive"):
        WeightedMean().add(random_adapter(0), weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused_by_its_key_and_leaves_the_mean_as_it_was(value: float) -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 1)
    broken = dict(random_adapter(1))
    broken[B][2, 1] = value
    with pytest.raises(ValueError, match="lora_B"):
        mean.add(broken, 1)
    assert mean.total == 1 and same(mean.result(), random_adapter(0))


def test_other_keys_are_refused_by_name() -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 1)
    with pytest.raises(ValueError, match=r"lora_B"):
        mean.add({A: random_adapter(0)[A]}, 1)
    with pytest.raises(ValueError, match="extra"):
        check_compatible(random_adapter(0), {**random_adapter(0), "extra": torch.zeros(1)})
    assert same(mean.result(), random_adapter(0))


def test_other_shapes_are_refused_even_where_they_would_broadcast() -> None:
    mean = WeightedMean()
    mean.add(random_adapter(0), 1)
    with pytest.raises(ValueError, match=r"\(6, 3\) against \(1, 3\)"):
        mean.add({**random_adapter(0), B: torch.zeros(1, 3)}, 1)
    assert same(mean.result(), random_adapter(0))
