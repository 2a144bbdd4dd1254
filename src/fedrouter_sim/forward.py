"""Batches of token sequences through a causal language model: padded, and what all rows begin with computed once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Tokens = tuple[int, ...]


def common_prefix(rows: Sequence[Tokens], most: int) -> int:
    """Return how many tokens all rows begin with, at most `most`; 0 for a single row, which shares with nobody."""
    if len(rows) < 2:
        return 0
    first, last = min(rows), max(rows)  # in lexicographic order all others lie between them
    shared = 0
    for one, two in zip(first[:most], last[:most], strict=False):
        if one != two:
            break
        shared += 1
    return shared


def pad(rows: Sequence[Tokens], fill: int, device: torch.device, left: bool = False) -> tuple[Tensor, Tensor]:
    """Return token ids and mask (B, L), padded on the right, or on the left for generation."""
    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), fill)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        place = slice(longest - len(tokens), longest) if left else slice(0, len(tokens))
        ids[row, place] = torch.tensor(tokens)
        mask[row, place] = 1
    return ids.to(device), mask.to(device)


def if_padded(mask: Tensor) -> Tensor | None:
    """Return the mask where something is padded; without one, attention takes its faster path."""
    return None if bool(mask.all()) else mask


def run_prefix(body: Any, prefix: Tokens, rows: int, device: torch.device) -> Any:
    """Run tokens that `rows` rows begin with once, and return the attention cache that continues each of the rows.

    Gradients flow back through the cache into the one pass, summed over the rows.

    Args:
        body: the model without its head.
        prefix: at least one token.
        rows: of the batch that goes on from it.
        device: of the model.
    """
    cache = body(input_ids=torch.tensor([list(prefix)], device=device), use_cache=True).past_key_values
    cache.batch_repeat_interleave(rows)
    return cache


def run_rows(model: Any, body: Any, prefix: Tokens, ids: Tensor, mask: Tensor, **options: Any) -> Any:
    """Run rows that all begin with `prefix`, and return the model's output for what follows it.

    Args:
        model: what is asked for its output: with or without its head.
        body: the model without its head.
        prefix: run once; may be empty.
        ids: the tokens after it (B, L), padded on the right.
        mask: (B, L), 0 where `ids` is padding.
        options: for `model`.
    """
    if not prefix:
        return model(input_ids=ids, attention_mask=if_padded(mask), use_cache=False, **options)
    cache = run_prefix(body, prefix, len(ids), ids.device)
    padded = if_padded(mask)
    if padded is not None:
        padded = torch.cat([padded.new_ones(len(ids), len(prefix)), padded], dim=1)
    return model(input_ids=ids, attention_mask=padded, past_key_values=cache, use_cache=True, **options)
