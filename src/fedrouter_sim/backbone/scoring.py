"""The losses of responses to prompts that are being answered: their prompts are run once for both."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fedrouter_sim.backbone import batching
from fedrouter_sim.backbone.encoding import EncodedExample, Prompt
from fedrouter_sim.backbone.forward import Tokens, pad
from fedrouter_sim.backbone.lower import AllLayers


class PromptScores:
    """Scores responses as soon as their prompts have been run, from the attention cache of these.

    Args:
        examples: whose responses are scored, in the order in which they are answered.
        fill: the token that pads.

    Attributes:
        found: each example's summed response-token loss in nats, by its place; those whose prompts were cut in another
            way to be answered are missing.
    """

    def __init__(self, examples: Sequence[EncodedExample], fill: int) -> None:
        self._examples = examples
        self._fill = fill
        self.found: dict[int, float] = {}

    def hear(self, model: Any, lower: AllLayers, cache: Any, rows: Sequence[int], prompts: Sequence[Tokens]) -> None:
        """Score the responses of some rows; afterwards the cache is as it was.

        Args:
            model: with its head.
            lower: gives passes what lower layers make of responses; where it does, the cache holds placeholders for
                those layers.
            cache: of each prompt but for its last token, (B, heads, L, width), padded on the right.
            rows: the places of the prompts.
            prompts: as they were run.
        """
        examples = [self._examples[row] for row in rows]
        same = [place for place, one in enumerate(examples) if one.prompt.ids == prompts[place]]
        states = [(layer.keys, layer.values) for layer in cache.layers]
        padding = batching.PADDING[model.device.type]
        for batch in batching.length_sorted([len(examples[place].response) for place in same], len(rows), padding):
            places = sorted(same[i] for i in batch)
            if len(places) < len(rows):
                chosen = torch.tensor(places, device=model.device)
                for layer, (keys, values) in zip(cache.layers, states, strict=True):
                    layer.keys, layer.values = keys[chosen], values[chosen]
            losses = self._losses(model, lower, cache, [examples[place] for place in places])
            self.found.update(zip((rows[place] for place in places), losses.tolist(), strict=True))
        for layer, (keys, values) in zip(cache.layers, states, strict=True):
            layer.keys, layer.values = keys, values

    def _losses(self, model: Any, lower: AllLayers, cache: Any, examples: Sequence[EncodedExample]) -> Tensor:
        """Return the summed loss of each response, (B,), from the cache of the prompts."""
        columns, befores = cache.get_seq_length(), [one.prompt.ids[:-1] for one in examples]
        lengths = torch.tensor([[len(before)] for before in befores], device=model.device)  # (B, 1)
        goes_on = [(one.prompt.ids[-1], *one.response[:-1]) for one in examples]
        ids, mask = pad(goes_on, self._fill, model.device)
        before = torch.arange(columns, device=model.device) < lengths  # (B, L)
        with lower.taken_after(goes_on, befores):
            output = model(
                input_ids=ids,
                attention_mask=torch.cat([before.to(mask.dtype), mask], dim=1),
                position_ids=lengths + torch.arange(ids.shape[1], device=model.device),
                past_key_values=cache,
                use_cache=True,
            )
        return _summed(output.logits[mask.bool()], [one.response for one in examples])


def hearing(
    scores: PromptScores | None, model: Any, lower: AllLayers, batch: Sequence[int], prompts: Sequence[Prompt]
) -> Callable[[Any, Sequence[int]], None]:
    """Return what is told of each pass over a part of a batch's prompts; None of scores: it hears nothing.

    Args:
        scores: what hears.
        model: with its head.
        lower: gives passes what lower layers make of responses.
        batch: places of prompts.
        prompts: all of them.
    """

    def hear(cache: Any, places: Sequence[int]) -> None:
        if scores is not None:
            rows = [batch[place] for place in places]
            scores.hear(model, lower, cache, rows, [prompts[row].ids for row in rows])

    return hear


def _summed(logits: Tensor, responses: Sequence[Tokens]) -> Tensor:
    """Return the summed loss of each response, (B,), of logits (tokens of all, vocabulary)."""
    wanted = torch.tensor([token for text in responses for token in text], device=logits.device)
    losses = nn.functional.cross_entropy(logits.float(), wanted, reduction="none").double().cpu()
    rows = torch.arange(len(responses)).repeat_interleave(torch.tensor(list(map(len, responses))))
    return torch.zeros(len(responses), dtype=torch.float64).index_add_(0, rows, losses)
