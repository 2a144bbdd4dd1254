"""Embeddings: what the frozen backbone makes of a text."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fedrouter_sim.backbone.forward import if_padded
from fedrouter_sim.config.words import AUTO, LAST
from fedrouter_sim.errors import UserError

_DEPTHS = (0.25, 0.5, 0.75)
"""Of the layers that are tried beside the last."""


def embedding_layers(body: Any, embedding: int | str, token: int) -> tuple[int | str, ...]:
    """Return the layers whose hidden states embed texts: one, or several side by side of which one is to be chosen.

    Args:
        body: the model without its head.
        embedding: a layer's number (1: what the first makes), `LAST`, or `AUTO`.
        token: any token.

    Raises:
        UserError: there is no such layer.
    """
    if embedding == LAST:
        return (LAST,)
    with torch.inference_mode():
        ids = torch.full((1, 2), token, device=body.device)
        states = body(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states
    layers = len(states) - 1  # the first is what enters them
    if isinstance(embedding, int):
        if embedding > layers:
            raise UserError(f"--embedding {embedding}: the model has {layers} layers; give one of them, or {LAST}")
        return (embedding,)
    if embedding != AUTO:
        raise UserError(f"--embedding {embedding}: must be a whole number, {LAST} or {AUTO}")
    return (*sorted({round(share * layers) for share in _DEPTHS} & set(range(1, layers))), LAST)


def mean_hidden_states(body: Any, ids: Tensor, mask: Tensor, layers: Sequence[int | str] = (LAST,)) -> Tensor:
    """Return e(x) of each row, (B, k d): the mean of a layer's hidden states over the row's real tokens, of k layers
    side by side.

    Args:
        body: the model without its head.
        ids: tokens (B, L), padded on the right.
        mask: (B, L), 0 where `ids` is padding.
        layers: by number, or `LAST`: after the final norm.
    """
    inner = any(layer != LAST for layer in layers)
    output = body(input_ids=ids, attention_mask=if_padded(mask), use_cache=False, output_hidden_states=inner)
    states = [output.last_hidden_state if layer == LAST else output.hidden_states[layer] for layer in layers]
    weights = mask.unsqueeze(-1).float()  # (B, L, 1)
    return torch.cat([(hidden.float() * weights).sum(1) / weights.sum(1) for hidden in states], dim=1)
