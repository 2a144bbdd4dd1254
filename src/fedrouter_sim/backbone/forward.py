"""Batches of token sequences through a causal language model: padded, and what all rows begin with computed once."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fedrouter_sim.backbone.encoding import EncodedExample

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


def given_tokens(prompt: Tokens, opening: Tokens) -> int:
    """Return how many of a prompt's tokens are the opening of all: all of it, or 0 where the prompt begins otherwise,
    as that of a conversation may. Other prompts do not matter, nor does the batch."""
    return len(opening) if len(prompt) > len(opening) and prompt[: len(opening)] == opening else 0


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


def run_prefix(body: Any, prefix: Tokens, device: torch.device) -> Any:
    """Run tokens that rows begin with, and return the attention cache that continues them, of one row.

    Args:
        body: the model without its head.
        prefix: the tokens; without any, there is no cache (None).
        device: of the model.
    """
    if not prefix:
        return None
    return body(input_ids=torch.tensor([list(prefix)], device=device), use_cache=True).past_key_values


def run_rows(model: Any, past: Any, ids: Tensor, mask: Tensor, use_cache: bool = False, **options: Any) -> Any:
    """Run rows that all go on from the same prefix, and return the model's output for what follows it.

    Gradients flow back through `past` into the one pass over the prefix, summed over the rows.

    Args:
        model: what is asked for its output: with or without its head.
        past: what `run_prefix` returned; it is written to.
        ids: the tokens after the prefix (B, L), padded on the right.
        mask: (B, L), 0 where `ids` is padding.
        use_cache: whether an attention cache is wanted of rows without a prefix; those with one have it anyway.
        options: for `model`.
    """
    padded = if_padded(mask)
    if past is None:
        return model(input_ids=ids, attention_mask=padded, use_cache=use_cache, **options)
    past.batch_repeat_interleave(len(ids))
    if padded is not None:
        padded = torch.cat([padded.new_ones(len(ids), past.get_seq_length()), padded], dim=1)
    return model(input_ids=ids, attention_mask=padded, past_key_values=past, use_cache=True, **options)


def response_losses(
    model: Any, past: Any, examples: Sequence[EncodedExample], shared: int, fill: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of every response token of a batch, and the row each belongs to, both (m,).

    Logits are computed only at the positions that predict a response token in some row.

    Args:
        model: with its head.
        past: what `run_prefix` returned for the tokens that all rows begin with.
        examples: the batch.
        shared: how many tokens those are.
        fill: the token that pads.
        device: of the model.
    """
    rows = [(*example.prompt.ids, *example.response) for example in examples]
    ids, mask = pad([row[shared:] for row in rows], fill, device)  # (B, L)
    labelled = torch.zeros_like(ids, dtype=torch.bool)  # (B, L): position l predicts a response token at l + 1
    for row, example in enumerate(examples):
        labelled[row, len(example.prompt.ids) - 1 - shared : len(example) - 1 - shared] = True
    columns = labelled.any(0).nonzero().squeeze(1)
    logits = run_rows(model, past, ids, mask, logits_to_keep=columns).logits  # (B, columns, vocabulary)
    wanted = labelled[:, columns]
    losses = nn.functional.cross_entropy(logits[wanted].float(), ids[:, columns + 1][wanted], reduction="none")
    return losses, wanted.nonzero()[:, 0]
