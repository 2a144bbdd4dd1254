"""Embeddings: what the frozen backbone makes of a text."""

from typing import Any

from torch import Tensor

from fedrouter_sim.backbone.forward import if_padded


def mean_hidden_state(body: Any, ids: Tensor, mask: Tensor) -> Tensor:
    """Return e(x) of each row (B, d): the mean of the last hidden state, after the final norm, over its real tokens.

    Args:
        body: the model without its head.
        ids: tokens (B, L), padded on the right.
        mask: (B, L), 0 where `ids` is padding.
    """
    hidden = body(input_ids=ids, attention_mask=if_padded(mask), use_cache=False).last_hidden_state  # (B, L, d)
    weights = mask.unsqueeze(-1).float()  # (B, L, 1)
    mean: Tensor = (hidden.float() * weights).sum(1) / weights.sum(1)
    return mean
