"""How fast the processor multiplies matrices, and how many operations a pass or a LoRA step takes: limit and share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from benchmarks.measure import clocked

ROWS, INNER, COLUMNS = 2048, 576, 1536
"""The product that the processor is measured by: a batch's tokens by a projection of the size of SmolLM2's."""


@dataclass(frozen=True)
class Shape:
    """What decides the operations of a pass and of a LoRA step."""

    layers: int
    attention: int  # heads times their width
    hidden: int
    vocabulary: int
    frozen: int  # weights of the layers' linear maps, which are frozen
    adapter: int  # weights of the adapters

    @classmethod
    def of(cls, model: Any) -> "Shape":
        """Count a PEFT model with one adapter, or a frozen model without any."""
        config, head = model.config, model.get_output_embeddings()
        heads = config.num_attention_heads
        linear = [m for m in model.modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head]
        return cls(
            layers=config.num_hidden_layers,
            attention=heads * (getattr(config, "head_dim", None) or config.hidden_size // heads),
            hidden=config.hidden_size,
            vocabulary=head.weight.shape[0],
            frozen=sum(m.weight.numel() for m in linear if not m.weight.requires_grad),
            adapter=sum(m.weight.numel() for m in linear if m.weight.requires_grad),
        )


def step_flops(shape: Shape, lengths: Sequence[int], labelled: int) -> int:
    """Return the floating-point operations of one LoRA training step that cannot be done without.

    A weight takes part in one multiplication and one addition a token: 2 operations forward, 2 more backward for the
    gradient of its input, and, only if it is trained, 2 more for its own. Each token attends to itself and to those
    before it. The language-model head works at the labelled positions alone. Padding, element-wise work and what is
    computed again count as nothing; nor is anything taken off for rows that share a computation, or for the first
    layer, whose input needs no gradient.

    Args:
        shape: of the model.
        lengths: real tokens of each row of the batch.
        labelled: positions at which a token is predicted.
    """
    tokens = sum(lengths)
    linear = tokens * (4 * shape.frozen + 6 * shape.adapter)
    # Forward: queries by keys, weights by values. Backward: twice as many products.
    attention = 3 * 2 * 2 * shape.layers * shape.attention * _pairs(lengths)
    head = 4 * shape.hidden * shape.vocabulary * labelled
    return linear + attention + head


def pass_flops(shape: Shape, lengths: Sequence[int]) -> int:
    """Return the floating-point operations of a pass without the adapter and the head, counted as in `step_flops`."""
    return 2 * sum(lengths) * shape.frozen + 2 * 2 * shape.layers * shape.attention * _pairs(lengths)


def _pairs(lengths: Sequence[int]) -> int:
    """Return how often a token attends to one; causally, to itself and to those before it."""
    return sum(length * (length + 1) // 2 for length in lengths)


def matrix_speed(dtype: torch.dtype) -> float:
    """Return the floating-point operations a second of a matrix product of usual size, over half a second or so."""
    left, right = torch.randn(ROWS, INNER, dtype=dtype), torch.randn(INNER, COLUMNS, dtype=dtype)
    torch.matmul(left, right)
    once = clocked(lambda: torch.matmul(left, right))
    times = max(1, min(1000, round(0.5 / once)))
    seconds = clocked(lambda: [torch.matmul(left, right) for _ in range(times)])
    return 2 * ROWS * INNER * COLUMNS * times / seconds
