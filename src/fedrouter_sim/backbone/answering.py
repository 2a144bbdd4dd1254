"""Greedy answers: prompts are run in batches of like length and answered together. Ended answers leave their batch, and
the few that are left wait for those of other batches, as a pass over few rows takes longer a row."""

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from fedrouter_sim.backbone import batching
from fedrouter_sim.backbone.ensemble import Beliefs
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
    """Prompts that have been run, perhaps with a part of their answers, as `generate` goes on from them.

    Attributes:
        ids: tokens (B, L); the last column holds each row's last token.
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
        on_run: called with the attention cache and the prompts of each pass, after it and before `lower.complete`; it
            leaves the cache as it was.
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
        on_run(cache, part)
        lower.complete(cache, rows)
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


Batch = tuple[Sequence[int], RunPrompts]
"""Which rows of all it has, and as far as they have come."""


def answer(
    model: Any,
    batches: Iterable[Batch],
    budgets: Sequence[int],
    stops: Sequence[int],
    stretch: int | None,
    few: int = 0,
    enough: int = 1,
    on_rows: Callable[[Sequence[int]], None] = lambda rows: None,
    beliefs: Beliefs | None = None,
) -> list[list[int]]:
    """Return the tokens that follow each prompt greedily, up to the first that ends an answer, which is left out.

    Args:
        model: the model with its head.
        batches: the prompts, each in one batch.
        budgets: most tokens of each answer.
        stops: the tokens that end an answer.
        stretch: after at most so many tokens each, rows whose answer has ended leave the batch, and sooner once one in
            `batching.LEAVING` has; None: all stay to the end.
        few: up to so many rows of a batch that are left wait for others, and the next batch begins; none wait where
            `stretch` is None or nothing of the batch had been run.
        enough: so many that wait go on together, whatever their lengths; more than `few`, or they would wait again.
        on_rows: called before each stretch with the rows that are still answered.
        beliefs: in adapters that answer together, each in rows of its own; None: every row answers for itself.
    """
    answers: list[list[int]] = [[] for _ in budgets]

    def left_of(batch: Batch, few: int) -> list[Batch]:
        """Answer until no more than `few` rows are left, and return those, if any."""
        rows, ids, mask, cache = batch[0], batch[1].ids, batch[1].mask, batch[1].cache
        if stretch is None or cache is None:  # a state has no columns, and what was padded on the left stays together
            few = 0
        while len(rows) > few:
            left = [budgets[row] - len(answers[row]) for row in rows]
            # No row takes more than its budget: there may be no positions beyond it.
            settings = GenerationConfig(
                max_new_tokens=max(left) if stretch is None else min(stretch, *left),
                do_sample=False,
                use_cache=True,
                eos_token_id=list(stops),
                pad_token_id=stops[0],
                return_dict_in_generate=True,
            )
            on_rows(rows)
            told = {"input_ids": ids, "attention_mask": mask, "past_key_values": cache}
            leave = StoppingCriteriaList([] if stretch is None else [_Leaving(stops, ids)])
            joint = LogitsProcessorList([] if beliefs is None else [beliefs.of(rows)])
            output = model.generate(**told, generation_config=settings, stopping_criteria=leave, logits_processor=joint)
            new = output.sequences[:, ids.shape[1] :]
            going = []
            for place, (row, tokens) in enumerate(zip(rows, new.tolist(), strict=True)):
                end = next((i for i, token in enumerate(tokens) if token in stops), None)
                answers[row] += tokens[:end]
                if end is None and len(answers[row]) < budgets[row]:
                    going.append(place)
            if stretch is None or not going:
                return []
            cache = output.past_key_values
            chosen = torch.tensor(going, device=ids.device)
            if len(going) < len(rows):
                cache.batch_select_indices(chosen)
            rows = [rows[place] for place in going]
            ids, mask = output.sequences[chosen], torch.cat([mask, torch.ones_like(new)], dim=1)[chosen]
        return [(rows, RunPrompts(ids, mask, cache))] if rows else []

    waiting: list[Batch] = []
    for batch in batches:
        waiting += left_of(batch, few)
        del batch  # whose cache is large, while the next one's prompts are run
        if waiting and sum(len(rows) for rows, _ in waiting) >= enough:
            gathered, waiting = _gathered(waiting), []
            waiting = left_of(gathered, few)
            del gathered
    if waiting:
        left_of(_gathered(waiting), 0)
    return [tokens[:budget] for tokens, budget in zip(answers, budgets, strict=True)]


class _Leaving(StoppingCriteria):
    """Ends a stretch for all of its rows once some of them have ended.

    Args:
        stops: the tokens that end an answer.
        ids: what the rows go on from (B, L).
    """

    def __init__(self, stops: Sequence[int], ids: Tensor) -> None:
        self._stops = torch.tensor(stops, device=ids.device)
        self._ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

    def __call__(self, input_ids: Tensor, scores: Any, **options: Any) -> Tensor:
        """Say of each row, (B,), whether it is to stop: all or none."""
        self._ended |= torch.isin(input_ids[:, -1], self._stops)
        enough = self._ended.sum() * batching.LEAVING >= len(self._ended)
        return torch.full_like(self._ended, bool(enough))


def _gathered(batches: Sequence[Batch]) -> Batch:
    """Return the rows of several batches as one; their caches are written to."""
    if len(batches) == 1:
        return batches[0]
    runs = [_without_gaps(run) for _, run in batches]
    longest = max(run.ids.shape[1] for run in runs)

    def joined(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat(
            [torch.cat([nn.functional.pad(p[:, :-1], (0, longest - p.shape[1])), p[:, -1:]], dim=1) for p in parts]
        )

    ids, mask = joined([run.ids for run in runs]), joined([run.mask for run in runs])
    return [row for rows, _ in batches for row in rows], RunPrompts(ids, mask, _joined([run.cache for run in runs]))


def _without_gaps(run: RunPrompts) -> RunPrompts:
    """Return rows with all padding behind their tokens, but for the last; the cache is written to.

    Rows that were answered together have gaps between prompt and answer, which would add up from one gathering to the
    next: so no row has more columns than the longest has tokens.
    """
    before = run.mask[:, :-1]
    columns = int(before.sum(1).max())
    order = before.argsort(dim=1, descending=True, stable=True)[:, :columns]  # (B, columns): tokens first, in order
    for layer in run.cache.layers:
        for name in ("keys", "values"):
            state = getattr(layer, name)  # (B, heads, L, width)
            places = order[:, None, :, None].expand(-1, state.shape[1], -1, state.shape[3])
            setattr(layer, name, state.gather(2, places))
    ids, mask = (torch.cat([part[:, :-1].gather(1, order), part[:, -1:]], dim=1) for part in (run.ids, run.mask))
    return RunPrompts(ids, mask, run.cache)


def within(batch: Sequence[int], act: Callable[[Sequence[int]], None]) -> Callable[[Sequence[int]], None]:
    """Return what calls `act` with the members of the batch that stand in given places."""
    return lambda places: act([batch[place] for place in places])


def least_answer(limit: int, wanted: int) -> int:
    """Return how many tokens an answer of at most `wanted` may take whatever its prompt: a quarter of the limit, and
    32 at most."""
    return max(1, min(wanted, LEAST_ANSWER, limit // 4))
