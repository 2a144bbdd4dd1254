"""The losses of responses to prompts that are being answered: their prompts are run once for both."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fedrouter_sim.backbone.encoding import EncodedExample, Prompt
from fedrouter_sim.backbone.forward import Tokens, pad


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

    def hear(self, model: Any, cache: Any, rows: Sequence[int], prompts: Sequence[Tokens]) -> None:
        """Score the responses of some rows; afterwards the cache is as it was.

        Args:
            model: with its head.
            cache: of each prompt but for its last token, (B, heads, L, width), padded on the right.
            rows: the places of the prompts.
            prompts: as they were run.
        """
        if any(prompt != self._examples[row].prompt.ids for row, prompt in zip(rows, prompts, strict=True)):
            return
        responses, columns = [self._examples[row].response for row in rows], cache.get_seq_length()
        device = model.device
        lengths = torch.tensor([[len(prompt) - 1] for prompt in prompts], device=device)  # (B, 1)
        goes_on = [(prompt[-1], *text[:-1]) for prompt, text in zip(prompts, responses, strict=True)]
        ids, mask = pad(goes_on, self._fill, device)
        places = torch.arange(ids.shape[1], device=device)
        before = torch.arange(columns, device=device) < lengths  # (B, L)
        states = [(layer.keys, layer.values) for layer in cache.layers]
        output = model(
            input_ids=ids,
            attention_mask=torch.cat([before.to(mask.dtype), mask], dim=1),
            position_ids=lengths + places,
            past_key_values=cache,
            use_cache=True,
        )
        for layer, (keys, values) in zip(cache.layers, states, strict=True):
            layer.keys, layer.values = keys, values
        losses = _losses(output.logits[mask.bool()], responses)
        for row, loss in zip(rows, losses.tolist(), strict=True):
            self.found[row] = loss


def hearing(
    scores: PromptScores | None, model: Any, batch: Sequence[int], prompts: Sequence[Prompt]
) -> Callable[[Any, Sequence[int]], None]:
    """Return what is told of each pass over a part of a batch's prompts; None of scores: it hears nothing.

    Args:
        scores: what hears.
        model: with its head.
        batch: places of prompts.
        prompts: all of them.
    """

    def hear(cache: Any, places: Sequence[int]) -> None:
        if scores is not None:
            rows = [batch[place] for place in places]
            scores.hear(model, cache, rows, [prompts[row].ids for row in rows])

    return hear


def _losses(logits: Tensor, responses: Sequence[Tokens]) -> Tensor:
    """Return the summed loss of each response, (B,), of logits (tokens of all, vocabulary)."""
    wanted = torch.tensor([token for text in responses for token in text], device=logits.device)
    losses = nn.functional.cross_entropy(logits.float(), wanted, reduction="none").double().cpu()
    rows = torch.arange(len(responses)).repeat_interleave(torch.tensor(list(map(len, responses))))
    return torch.zeros(len(responses), dtype=torch.float64).index_add_(0, rows, losses)
