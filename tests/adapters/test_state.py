"""Adapters as plain tensors: their checks, size and digest."""

import pytest
import torch
from some_adapters import A, B, product, random_adapter

from fedrouter_sim.adapters.state import (
    adapter_bytes,
    adapter_digest,
    check_compatible,
    check_finite,
    scaled,
    with_change_scaled,
)


def test_compatible_and_finite_adapters_pass() -> None:
    check_compatible(random_adapter(0), random_adapter(1))
    check_finite(random_adapter(0))


def test_bytes_are_four_per_weight() -> None:
    assert adapter_bytes(random_adapter(0)) == 4 * (3 * 8 + 6 * 3)


def test_the_digest_is_of_keys_shapes_and_values_alone() -> None:
    adapter = random_adapter(0)
    digest = adapter_digest(adapter)
    assert digest == adapter_digest(dict(reversed(adapter.items())))
    assert digest == adapter_digest({key: value.double() for key, value in adapter.items()})
    assert digest == adapter_digest({A: adapter[A].T.contiguous().T, B: adapter[B]})
    changed = adapter[B].clone()
    changed[0, 0] += 1e-6
    others = [
        {A: adapter[A], B: changed},
        {A: adapter[A].reshape(8, 3), B: adapter[B]},
        {A: adapter[A], B + "x": adapter[B]},
        {A: adapter[A]},
    ]
    assert len({digest, *map(adapter_digest, others)}) == 5


def test_what_differs_or_is_not_finite_is_refused_by_its_key() -> None:
    adapter = random_adapter(0)
    with pytest.raises(ValueError, match="extra"):
        check_compatible(adapter, {**adapter, "extra": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"lora_B.*\(6, 3\) against \(1, 3\)"):
        check_compatible(adapter, {**adapter, B: torch.zeros(1, 3)})
    for value in (float("nan"), float("inf"), float("-inf")):
        with pytest.raises(ValueError, match="lora_A"):
            check_finite({**adapter, A: torch.full((3, 8), value)})


def test_scaling_scales_the_product_alone() -> None:
    adapter = random_adapter(0)
    torch.testing.assert_close(product(scaled(adapter, 2.5)), 2.5 * product(adapter), rtol=1e-5, atol=1e-5)
    assert torch.equal(scaled(adapter, 2.5)[A], adapter[A])


@pytest.mark.parametrize("factor", [0.25, 1.0, -3.0])
def test_a_change_is_scaled_from_where_it_began_in_the_types_that_it_has(factor: float) -> None:
    start, adapter = random_adapter(0), random_adapter(1)
    adapter[B] = adapter[B].half()
    found = with_change_scaled(start, adapter, factor)
    assert (found[A].dtype, found[B].dtype, list(found)) == (torch.float32, torch.float16, list(adapter))
    torch.testing.assert_close(found[A] - start[A], factor * (adapter[A] - start[A]))
