"""Greedy answers: prompts are run in batches of like length and answered together; ended answers leave the batch."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from fedrouter_sim.backbone.forward import Tokens, pad, run_prefix, run_rows
from fedrouter_sim.backbone.lower import AllLayers

_ALL = AllLayers()

LEAST_ANSWER = 32  # tokens that a long prompt leaves to its answer


@dataclass(frozen=True)
class Generated:
    """Answers in the order of their instructions, and the instructions that were cut to fit."""

    answers: list[str]
    cut: set[str]


@dataclass(frozen=True)
class RunPrompts:
    """Prompts that have been run, as `generate` goes on from them.

    Attributes:
        ids: tokens (B, L); the last column holds each prompt's last token.
        mask: (B, L), 0 where `ids` is padding.
        cache: the attention cache of all columns but the last; None: nothing has been run yet.
    """

    ids: Tensor
    mask: Tensor
    cache: Any


def run_prompts(
    body: Any,
    prompts: Sequence[Tokens],
    parts: Sequence[Sequence[int]],
    shared: int,
    fill: int,
    on_rows: Callable[[Sequence[int]], None] = lambda rows: None,
    lower: AllLayers = _ALL,
    on_run: Callable[[Any, Sequence[int]], None] = lambda cache, rows: None,
) -> RunPrompts:
    """Run prompts up to their last tokens, some at a time, so that padding costs no pass over it.

    Args:
        body: the model without its head.
        prompts: of at least two tokens each.
        parts: the prompts that each pass takes; together 0, 1, 2, ...
        shared: tokens that all prompts begin with, fewer than all but the last of each; run once.
        fill: the token that padding consists of.
        on_rows: called with the prompts of each pass before it.
        lower: gives passes what lower layers made of the prompts.
        on_run: called with the attention cache and the prompts of each pass after it; it leaves the cache as it was.
    """
    device = body.device
    last = torch.tensor([[prompt[-1]] for prompt in prompts], device=device)
    rest = [prompt[:-1] for prompt in prompts]
    with lower.taken(rest[:1], 0, shared, cached=True):
        past = run_prefix(body, rest[0][:shared], device)
    caches = []
    for part in parts:
        on_rows(part)
        rows = [rest[row] for row in part]
        ids, mask = pad([row[shared:] for row in rows], fill, device)
        with lower.taken(rows, shared, cached=True):
            cache = run_rows(body, copy.deepcopy(past), ids, mask, use_cache=True).past_key_values
        lower.complete(cache, rows)
        on_run(cache, part)
        caches.append(cache)
    ids, mask = pad(rest, fill, device)
    return RunPrompts(torch.cat([ids, last], dim=1), torch.cat([mask, torch.ones_like(last)], dim=1), _joined(caches))


def _joined(caches: Sequence[Any]) -> Any:
    """Join attention caches into one of all their rows, padded on the right; the first of them is written to."""
    for layers in zip(*(cache.layers for cache in caches), strict=True):
        longest = max(layer.keys.shape[-2] for layer in layers)
        for name in ("keys", "values"):
            states = [getattr(layer, name) for layer in layers]  # (B, heads, L, width) each
            padded = [nn.functional.pad(state, (0, 0, 0, longest - state.shape[-2])) for state in states]
            setattr(layers[0], name, torch.cat(padded))
    return caches[0]


def answer(
    model: Any,
    started: RunPrompts,
    budgets: Sequence[int],
    stops: Sequence[int],
    stretch: int | None,
    on_rows: Callable[[Sequence[int]], None] = lambda rows: None,
) -> list[list[int]]:
    """Return the tokens that follow each prompt greedily, up to the first that ends an answer, which is left out.

    Args:
        model: the model with its head.
        started: the prompts.
        budgets: most tokens of each answer.
        stops: the tokens that end an answer.
        stretch: after so many tokens each, rows whose answer has ended leave the batch; None: all stay to the end.
        on_rows: called before each stretch with the prompts that are still answered.
    """
    ids, mask, cache = started.ids, started.mask, started.cache
    answers: list[list[int]] = [[] for _ in budgets]
    rows = list(range(len(budgets)))
    while rows:
        left = [budgets[row] - len(answers[row]) for row in rows]
        # No row takes more than its budget: there may be no positions beyond it.
        most = max(left) if stretch is None else min(stretch, *left)
        settings = GenerationConfig(
            max_new_tokens=most,
            do_sample=False,
            use_cache=True,
            eos_token_id=list(stops),
            pad_token_id=stops[0],
            return_dict_in_generate=True,
        )
        on_rows(rows)
        output = model.generate(input_ids=ids, attention_mask=mask, past_key_values=cache, generation_config=settings)
        new = output.sequences[:, ids.shape[1] :]
        going = []
        for place, (row, tokens) in enumerate(zip(rows, new.tolist(), strict=True)):
            end = next((i for i, token in enumerate(tokens) if token in stops), None)
            answers[row] += tokens[:end]
            if end is None and len(answers[row]) < budgets[row]:
                going.append(place)
        if stretch is None or not going:
            break
        cache = output.past_key_values
        chosen = torch.tensor(going, device=ids.device)
        if len(going) < len(rows):
            cache.batch_select_indices(chosen)
        rows = [rows[place] for place in going]
        ids, mask = output.sequences[chosen], torch.cat([mask, torch.ones_like(new)], dim=1)[chosen]
    return [tokens[:budget] for tokens, budget in zip(answers, budgets, strict=True)]


def within(batch: Sequence[int], act: Callable[[Sequence[int]], None]) -> Callable[[Sequence[int]], None]:
    """Return what calls `act` with the members of the batch that stand in given places."""
    return lambda places: act([batch[place] for place in places])


def least_answer(limit: int, wanted: int) -> int:
    """Return how many tokens an answer of at most `wanted` may take whatever its prompt: a quarter of the limit, and
    32 at most."""
    return max(1, min(wanted, LEAST_ANSWER, limit // 4))
