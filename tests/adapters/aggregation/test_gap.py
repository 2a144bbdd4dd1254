"""The gap between mean of products and product of means: against dense matrices, whatever the shapes and weights."""

from math import sqrt
from statistics import fmean, pstdev

import pytest
import torch
from torch import Tensor

from fedrouter_sim.adapters.aggregation.gap import PROBES, FactorGap, Probes
from fedrouter_sim.adapters.state import Adapter

SHAPES = {f"model.h.{layer}.{name}": shape for layer in (0, 1) for name, shape in
          {"attn": (48, 20), "mlp": (16, 36)}.items()}  # fmt: skip
WEIGHTS = [3, 1, 6, 2]


def adapter(seed: int, spread: float = 1.0, rank: int = 4) -> Adapter:
    """Factors that lie around those of seed 0."""
    common, own = torch.Generator().manual_seed(0), torch.Generator().manual_seed(seed)
    factors: dict[str, Tensor] = {}
    for module, (d_out, d_in) in SHAPES.items():
        for factor, shape in (("A", (rank, d_in)), ("B", (d_out, rank))):
            near = torch.randn(shape, generator=common) + spread * torch.randn(shape, generator=own)
            factors[f"{module}.lora_{factor}.weight"] = near
    return factors


def means(adapters: list[Adapter], weights: list[int]) -> dict[str, tuple[Tensor, Tensor]]:
    """The dense mean of products and product of means of each module, (d_out, d_in)."""
    found = {}
    for module in SHAPES:
        b, a = (torch.stack([one[f"{module}.lora_{f}.weight"].double() for one in adapters]) for f in "BA")
        w = (torch.tensor(weights, dtype=torch.float64) / sum(weights))[:, None, None]
        found[module] = ((w * (b @ a)).sum(0), (w * b).sum(0) @ (w * a).sum(0))
    return found


def exact(adapters: list[Adapter], weights: list[int]) -> float:
    pairs = means(adapters, weights).values()
    apart = sum(float((one - other).square().sum()) for one, other in pairs)
    return sqrt(apart / sum(float(one.square().sum()) for one, _ in pairs))


def measured(adapters: list[Adapter], weights: list[int], seed: int = 1) -> float | None:
    gap = FactorGap(Probes(seed))
    for one, weight in zip(adapters, weights, strict=True):
        gap.add(one, weight)
    return gap.value()


@pytest.mark.parametrize("spread", [0.01, 0.3, 1.0, 3.0])
def test_it_is_the_gap_of_the_dense_matrices_within_the_error_of_the_estimate(spread: float) -> None:
    adapters = [adapter(seed, spread) for seed in range(1, 5)]
    expected = exact(adapters, WEIGHTS)
    found = [measured(adapters, WEIGHTS, seed) for seed in range(200)]
    assert fmean(value or 0 for value in found) == pytest.approx(expected, rel=0.02)
    assert all(value == pytest.approx(expected, rel=0.5) for value in found)


def test_the_error_is_what_the_docstring_says() -> None:
    adapters = [adapter(seed) for seed in range(1, 5)]
    whole = [one for one, _ in means(adapters, WEIGHTS).values()]
    square = sum(float(one.square().sum()) for one in whole)
    effective = square**2 / sum(float((one.T @ one).square().sum()) for one in whole)
    found = []  # squared norms, relative to the true one
    for seed in range(1000):
        probes = Probes(seed)
        seen = [one @ probes.of(module, one.shape[1]) for module, one in zip(SHAPES, whole, strict=True)]
        found.append(sum(float(one.square().sum()) for one in seen) / PROBES / square)
    assert fmean(found) == pytest.approx(1, abs=4 * pstdev(found) / sqrt(1000))  # unbiased
    assert pstdev(found) == pytest.approx(sqrt(2 / (PROBES * effective)), rel=0.15)
    assert pstdev(map(sqrt, found)) == pytest.approx(sqrt(1 / (2 * PROBES * effective)), rel=0.15)


def test_one_update_has_no_gap_and_equal_ones_have_none_but_rounding() -> None:
    assert measured([adapter(1)], [5]) == 0.0
    assert measured([adapter(1)] * 3, [5, 1, 7]) == pytest.approx(0, abs=1e-14)


def test_where_one_factor_is_shared_there_is_no_gap() -> None:
    shared = adapter(9)
    adapters = [{key: shared[key] if "lora_A" in key else value for key, value in adapter(seed).items()}
                for seed in range(1, 4)]  # fmt: skip
    assert measured(adapters, [1, 2, 3]) == pytest.approx(0, abs=1e-14)


def test_it_does_not_change_with_the_scale_of_weights_or_of_products() -> None:
    adapters = [adapter(seed) for seed in range(1, 5)]
    found = measured(adapters, WEIGHTS)
    assert measured(adapters, [1000 * weight for weight in WEIGHTS]) == pytest.approx(found, rel=1e-12)
    doubled = [{key: value * 2 if "lora_B" in key else value for key, value in one.items()} for one in adapters]
    assert measured(doubled, WEIGHTS) == pytest.approx(found, rel=1e-12)
    assert measured(adapters, [1, 1, 1, 50]) != pytest.approx(found, rel=0.01)


def test_where_nothing_was_learnt_or_a_value_is_not_finite_there_is_no_number() -> None:
    untrained = [{key: value * ("lora_A" in key) for key, value in adapter(seed).items()} for seed in (1, 2)]
    assert measured(untrained, [1, 2]) is None
    broken = {key: value * torch.inf for key, value in adapter(1).items()}
    assert measured([broken, adapter(2)], [1, 2]) is None
    with pytest.raises(ValueError, match="the gap of no adapters is undefined"):
        FactorGap(Probes(1)).value()


def test_the_same_seed_gives_the_same_bits_and_the_order_of_keys_does_not_matter() -> None:
    adapters = [adapter(seed) for seed in range(1, 5)]
    turned = [dict(reversed(one.items())) for one in adapters]
    assert measured(adapters, WEIGHTS) == measured(adapters, WEIGHTS) == measured(turned, WEIGHTS)
    assert measured(adapters, WEIGHTS) != measured(adapters, WEIGHTS, seed=2)


def test_modules_have_vectors_of_their_own_which_all_pools_share() -> None:
    probes = Probes(1)
    one, other = probes.of("attn", 6), probes.of("mlp", 6)
    assert one.shape == (6, PROBES) and one.dtype == torch.float64 and not torch.equal(one, other)
    assert probes.of("attn", 6) is one
    assert torch.equal(Probes(1).of("mlp", 6), other)  # whatever was drawn before


def test_memory_does_not_grow_with_the_updates() -> None:
    gap = FactorGap(Probes(1))
    sizes = set()
    for seed in range(1, 8):
        gap.add(adapter(seed), 1)
        sizes.add(sum(value.numel() for sums in gap._sums.values() for value in sums))
    # the B's, and thin matrices; all products B A together are larger
    expected = sum(d_out * 4 + 4 * PROBES + d_out * PROBES for d_out, _ in SHAPES.values())
    assert sizes == {expected} and expected < sum(d_out * d_in for d_out, d_in in SHAPES.values())


def test_other_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="is no LoRA factor"):
        FactorGap(Probes(1)).add({"x.lora_embedding_A": torch.ones(2, 3)}, 1)
