"""Small adapters for tests of means and of folders."""

from collections.abc import Iterable

import torch
from torch import Tensor

from fedrouter_sim.adapters.aggregation.rule import Aggregation
from fedrouter_sim.adapters.state import Adapter

A, B = "model.h.0.attn.lora_A.weight", "model.h.0.attn.lora_B.weight"


def random_adapter(seed: int, rank: int = 3) -> dict[str, Tensor]:
    """An adapter of one module of 8 inputs and 6 outputs."""
    generator = torch.Generator().manual_seed(seed)
    return {A: torch.randn(rank, 8, generator=generator), B: torch.randn(6, rank, generator=generator)}


def constant_adapter(value: float) -> dict[str, Tensor]:
    """The same with one value everywhere."""
    return {A: torch.full((3, 8), value), B: torch.full((6, 3), value)}


def product(adapter: Adapter) -> Tensor:
    """The dense B A, (6, 8), in float64."""
    return adapter[B].double() @ adapter[A].double()


def aggregated(rule: Aggregation, adapters: Iterable[Adapter], weights: Iterable[float]) -> Adapter:
    """What a rule makes of adapters with weights."""
    for adapter, weight in zip(adapters, weights, strict=True):
        rule.add(adapter, weight)
    return rule.result()


def same(one: Adapter, other: Adapter) -> bool:
    """Whether two adapters are equal to the bit, in the same order."""
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)
