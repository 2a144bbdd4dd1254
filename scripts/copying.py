"""A starting point for a tiny GPT-2 in which copying already works.

Large models grow an induction head by themselves: it finds an earlier occurrence of the token at hand and copies what
came next. A model of this size, trained for minutes, hardly finds one, and without it no adapter can carry a name from
an instruction to a response. So the two attention layers that make up the circuit start from weights that do it,
written down here; training then moves them like all others.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

PREVIOUS_HEADS = 2  # heads of the first layer that look one token back
SHARPNESS = 12.0  # logit of the token looked for
COPY_GAIN = 0.15  # what a head of the circuit adds to the residual stream, which starts near 0.1


@torch.no_grad()
def start_copying(model: GPT2LMHeadModel, generator: torch.Generator) -> None:
    """Set the circuit: heads of layer 0 carry each token one place on, heads of layer 1 match it and copy."""
    config = model.config
    blocks: Any = model.transformer.h  # torch knows a list of modules, not which
    width, size = config.n_embd, config.n_embd // config.n_head
    frequencies = 0.3 + 2.7 * torch.rand(size // 2, generator=torch.Generator().manual_seed(0))
    _set_positions(model, frequencies)
    for block in blocks:  # all else starts quiet, so as not to drown the circuit
        block.attn.c_proj.weight *= 0.1
        block.mlp.c_proj.weight *= 0.1
    heads = [slice(head * size, (head + 1) * size) for head in range(config.n_head)]
    axes = torch.eye(width)

    # Layer 0: the query is the position turned back by one step, the key is the position; the token is carried.
    query, key, value = blocks[0].attn.c_attn.weight.split(width, dim=1)
    output = blocks[0].attn.c_proj.weight
    gain = (2 * SHARPNESS / size**0.5) ** 0.5
    for head in heads[:PREVIOUS_HEADS]:
        query[:, head] = gain * axes[:, :size] @ _turn_back(frequencies)
        key[:, head] = gain * axes[:, :size]
        value[:, head] = _token_directions(width, size, generator)
        output[head] = COPY_GAIN * _token_directions(width, size, generator).T

    # Layer 1: the query is the token at hand, the key what layer 0 carried; each head copies its slice of a token.
    next_query, next_key, next_value = blocks[1].attn.c_attn.weight.split(width, dim=1)
    for number, head in enumerate(heads[1:], 1):  # the first slice is the position's
        source = heads[number % PREVIOUS_HEADS]
        next_query[:, head] = 2 * value[:, source]
        next_key[:, head] = 2 * output[source].T / COPY_GAIN
        next_value[:, head] = axes[:, head]
        blocks[1].attn.c_proj.weight[head] = COPY_GAIN * axes[head]


def _set_positions(model: GPT2LMHeadModel, frequencies: Tensor) -> None:
    """Give the first dimensions to positions alone, as sines and cosines of irregular angles: no two look alike."""
    transformer: Any = model.transformer
    tokens, positions = transformer.wte.weight, transformer.wpe.weight
    size = 2 * len(frequencies)
    angle = torch.arange(len(positions))[:, None] * frequencies
    tokens[:, :size] = 0
    positions[:, size:] *= 0.1
    positions[:, :size] = torch.cat([angle.sin(), angle.cos()], 1) * model.config.initializer_range * 2**0.5


def _turn_back(frequencies: Tensor) -> Tensor:
    """The linear map between the sines and cosines of a place and those of the place before."""
    sine, cosine = torch.diag(frequencies.sin()), torch.diag(frequencies.cos())
    # sin(a - f) = sin a cos f - cos a sin f and cos(a - f) = cos a cos f + sin a sin f
    return torch.cat([torch.cat([cosine, sine], 1), torch.cat([-sine, cosine], 1)])


def _token_directions(width: int, size: int, generator: torch.Generator) -> Tensor:
    """Random orthogonal directions (width, size) that leave the dimensions of the position out."""
    directions: Tensor = torch.linalg.qr(torch.randn(width, size, generator=generator)).Q
    directions[:size] = 0
    return directions
