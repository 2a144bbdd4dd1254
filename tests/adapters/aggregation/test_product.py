"""The mean of products B A: against the dense matrices, whatever the shapes, ranks, weights and number of adapters."""

import pytest
import torch
from torch import Tensor

from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.aggregation.product import ProductMean, factors_by_module
from fedrouter_sim.adapters.state import Adapter

SHAPES = {"model.h.0.attn": (12, 5), "model.h.0.mlp": (4, 9)}  # module -> (d_out, d_in)


def adapter(seed: int, rank: int = 3) -> Adapter:
    generator = torch.Generator().manual_seed(seed)
    factors: dict[str, Tensor] = {}
    for module, (d_out, d_in) in SHAPES.items():
        factors[f"{module}.lora_A.weight"] = torch.randn(rank, d_in, generator=generator)
        factors[f"{module}.lora_B.weight"] = torch.randn(d_out, rank, generator=generator)
    return factors


def products(adapter: Adapter) -> dict[str, Tensor]:
    """The dense B A of each module, (d_out, d_in)."""
    return {
        module: adapter[f"{module}.lora_B.weight"].double() @ adapter[f"{module}.lora_A.weight"].double()
        for module in SHAPES
    }


def dense_mean(adapters: list[Adapter], weights: list[float]) -> dict[str, Tensor]:
    dense = [products(one) for one in adapters]
    return {
        module: sum(weight * one[module] for weight, one in zip(weights, dense, strict=True)) / sum(weights)
        for module in SHAPES
    }


def truncated(matrix: Tensor, rank: int) -> Tensor:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left[:, :rank] * values[:rank] @ right[:rank]


@pytest.mark.parametrize("count", [1, 2, 15])
@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("ranks", [(3,), (1, 4, 2)])
def test_it_is_the_truncated_svd_of_the_dense_mean(count: int, rank: int, ranks: tuple[int, ...]) -> None:
    adapters = [adapter(seed, ranks[seed % len(ranks)]) for seed in range(count)]
    weights = [float(1 + 7 * seed % 13) for seed in range(count)]
    mean = ProductMean(rank)
    for one, weight in zip(adapters, weights, strict=True):
        mean.add(one, weight)
    found = mean.truncated()
    lost = whole = 0.0
    for module, expected in dense_mean(adapters, weights).items():
        torch.testing.assert_close(products(found.adapter)[module], truncated(expected, rank), rtol=1e-4, atol=1e-5)
        lost += float((expected - truncated(expected, rank)).square().sum())
        whole += float(expected.square().sum())
        d_out, d_in = SHAPES[module]
        assert found.adapter[f"{module}.lora_A.weight"].shape == (rank, d_in)
        assert found.adapter[f"{module}.lora_B.weight"].shape == (d_out, rank)
    assert found.error == pytest.approx((lost / whole) ** 0.5, abs=1e-6)
    assert (mean.total, set(found.adapter)) == (sum(weights), set(adapters[0]))


def test_what_is_kept_does_not_grow_with_the_number_of_adapters() -> None:
    mean = ProductMean(2)
    for seed in range(20):
        mean.add(adapter(seed), 1)
    for module, (b, a) in mean._products.items():
        assert b.shape[1] == a.shape[0] <= 2 * min(SHAPES[module])


def test_equal_adapters_lose_nothing_and_stay_what_they_do() -> None:
    mean = ProductMean(3)
    for weight in (3, 10, 1):
        mean.add(adapter(0), weight)
    found = mean.truncated()
    assert found.error < 1e-7
    for module, expected in products(adapter(0)).items():
        torch.testing.assert_close(products(found.adapter)[module], expected, rtol=1e-4, atol=1e-5)
    assert all(value.dtype == torch.float32 for value in found.adapter.values())


def test_the_mean_of_the_factors_is_something_else() -> None:
    """Two adapters that do the same in other bases: by products nothing changes, by factors it does."""
    one = adapter(0)
    turned = {key: -value for key, value in one.items()}  # (-B)(-A) = B A
    by_products, by_factors = ProductMean(3), WeightedMean()
    for mean in (by_products, by_factors):
        mean.add(one, 1)
        mean.add(turned, 1)
    module = "model.h.0.attn"
    torch.testing.assert_close(products(by_products.result())[module], products(one)[module], rtol=1e-4, atol=1e-5)
    assert products(by_factors.result())[module].abs().max() == 0


def test_adapters_that_do_nothing_have_a_mean_without_error() -> None:
    nothing = {key: value if "lora_A" in key else value * 0 for key, value in adapter(0).items()}
    mean = ProductMean(2)
    mean.add(nothing, 4)
    assert mean.truncated().error == 0
    assert all(torch.isfinite(value).all() for value in mean.result().values())


def test_the_order_alone_decides_the_bits() -> None:
    def result() -> Adapter:
        mean = ProductMean(2)
        for seed in range(9):
            mean.add(adapter(seed), seed + 0.5)
        return mean.result()

    one, two = result(), result()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_what_cannot_be_averaged_is_refused_and_leaves_the_mean_as_it_was() -> None:
    mean = ProductMean(2)
    with pytest.raises(ValueError, match="no adapters"):
        mean.result()
    mean.add(adapter(0), 1)
    before = mean.result()
    good, a = dict(adapter(1)), "model.h.0.attn.lora_A.weight"
    swapped = good | {a: torch.zeros(3, 12), "model.h.0.attn.lora_B.weight": torch.zeros(5, 3)}
    for wrong, message in (
        (good | {a: torch.full((3, 5), float("nan"))}, "not finite"),
        ({key: good[key] for key in good if "attn" in key}, "modules"),
        (swapped, r"\(5, 12\) against \(12, 5\)"),
        (good | {a: torch.zeros(4, 5)}, "do not fit"),
        ({key: good[key] for key in good if key != a}, "without the other"),
        (good | {"model.wte.lora_embedding_A": torch.zeros(2, 2)}, "no LoRA factor"),
    ):
        with pytest.raises(ValueError, match=message):
            mean.add(wrong, 1)
    for weight in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="not positive"):
            mean.add(good, weight)
    assert mean.total == 1
    assert all(torch.equal(before[key], mean.result()[key]) for key in before)


def test_factors_come_by_module() -> None:
    found = factors_by_module(dict(reversed(adapter(0).items())))
    assert list(found) == sorted(SHAPES)
    assert {module: (b.shape[0], a.shape[1]) for module, (b, a) in found.items()} == SHAPES
