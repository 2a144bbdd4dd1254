"""Rows of a batch end to end in one row, without padding: what all begin with comes first and is computed once, in the
same pass, and the head sees the positions that predict a response token and no others."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from fedrouter_sim.backbone.encoding import EncodedExample, Prompt
from fedrouter_sim.backbone.forward import response_losses, run_prefix
from fedrouter_sim.backbone.kind import Kind

_NAME = "fedrouter_packed"
_SAVED = 512
"""Tokens up to which what a row attends to is kept for the way back. Beyond, it is computed again: it grows with the
square of the length."""

_UNKNOWN = ("softcap", "sliding_window", "s_aux", "position_bias")
"""What some families ask of attention, and is not done here."""

_NEAR = {torch.bfloat16: (5e-2, 2e-1)}
"""How far losses, and gradients, of a packed pass may be from plain ones, as a share of the largest, by data type:
made-up tokens are hard on rounding. A wrong position or a wrong look is far beyond it."""
_NEAR_FLOAT32 = 1e-3, 5e-3


@dataclass(frozen=True)
class Packed:
    """Where rows lie in a packed one: `shared` tokens that all begin with, then `lengths` tokens of each row."""

    shared: int
    lengths: tuple[int, ...]

    @cached_property
    def places(self) -> list[slice]:
        """The parts that look back, each at its own tokens and at the shared ones: these first, if there are any."""
        ends = list(accumulate(self.lengths, initial=self.shared))
        rows = [slice(start, end) for start, end in pairwise(ends)]
        return [slice(0, self.shared), *rows] if self.shared else rows

    @cached_property
    def later(self) -> Tensor:
        """(L, L) for the longest part: minus infinity where a token is after the one that looks."""
        longest = max(self.shared, *self.lengths)
        return torch.full((longest, longest), float("-inf")).triu(1)

    def seen(self, states: Tensor, place: slice) -> Tensor:
        """Return what a part looks at, of keys or values (heads, T, width)."""
        own = states[:, place]
        return torch.cat([states[:, : self.shared], own], dim=1) if self.before(place) else own

    def before(self, place: slice) -> int:
        """Return how many shared tokens a part looks at beside its own."""
        return self.shared if place.start else 0


def packed_losses(
    model: Any, examples: Sequence[EncodedExample], shared: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return what `forward.response_losses` does, by one pass over the packed rows.

    Args:
        model: with its head; one that `packs`.
        examples: the batch.
        shared: how many tokens all prompts begin with; fewer than any has.
        device: of the model.
    """
    rows = [(*example.prompt.ids, *example.response) for example in examples]
    packed = Packed(shared, tuple(len(row) - shared for row in rows))
    ids, positions = list(rows[0][:shared]), list(range(shared))
    columns: list[int] = []
    for row, example in zip(rows, examples, strict=True):
        first = len(ids) + len(example.prompt.ids) - 1 - shared
        columns += range(first, first + len(example.response))
        ids += row[shared:]
        positions += range(shared, len(row))
    with _attending(model.config):
        output = model(
            input_ids=torch.tensor([ids], device=device),
            position_ids=torch.tensor([positions], device=device),
            use_cache=False,
            logits_to_keep=torch.tensor(columns, device=device),
            packed=packed,
        )
    wanted = torch.tensor([token for example in examples for token in example.response], device=device)
    losses = nn.functional.cross_entropy(output.logits[0].float(), wanted, reduction="none")
    counts = torch.tensor([len(example.response) for example in examples], device=device)
    return losses, torch.arange(len(examples), device=device).repeat_interleave(counts)


def packs(model: Any, slot: Sequence[nn.Parameter], kind: Kind, token: int) -> bool:
    """Say whether a model gives for packed rows what it gives for padded ones: losses and gradients.

    Asked are models on a processor, whose positions are rotated in and whose attention is full and can be given. A
    table of positions, as GPT-2 has it, would do as well; its runs stay as they were, to the byte.

    Args:
        model: with its head and a LoRA slot.
        slot: the slot's parameters.
        kind: what kind of model it is.
        token: any token of the vocabulary.
    """
    device = model.device
    if kind.stateful or kind.pads_left or device.type != "cpu" or not hasattr(model.base_model.model, "model"):
        return False
    body = model.base_model.model.base_model
    if not hasattr(body, "rotary_emb"):
        return False
    one, two = token, 1 if token == 0 else 0
    examples = [
        EncodedExample(Prompt((one, two, two), cut=False), (one,)),
        EncodedExample(Prompt((one, two), cut=False), (two, two, one)),
        EncodedExample(Prompt((one, one, two, one), cut=False), (one, two)),
    ]
    try:
        with torch.enable_grad():
            past = run_prefix(body, (one,), device)
            plain, _ = response_losses(model, past, examples, 1, token, device)
            found, _ = packed_losses(model, examples, 1, device)
            gradients = [torch.autograd.grad(some.mean(), slot, allow_unused=True) for some in (plain, found)]
    except Exception:  # every family runs code of its own
        return False
    if any((first is None) != (second is None) for first, second in zip(*gradients, strict=True)):
        return False
    of_losses, of_gradients = _NEAR.get(model.dtype, _NEAR_FLOAT32)
    sloped = [pair for pair in zip(*gradients, strict=True) if pair[0] is not None]
    return _alike([(plain.detach(), found.detach())], of_losses) and _alike(sloped, of_gradients)


def _alike(pairs: Sequence[tuple[Tensor, Tensor]], near: float) -> bool:
    """Say whether pairs of tensors differ by no more than a share of the largest number of the first."""
    most = near * max(float(one.abs().max()) for one, _ in pairs)
    return all(bool((one - two).abs().max() <= most) for one, two in pairs)


@contextlib.contextmanager
def _attending(config: Any) -> Iterator[None]:
    """Have a model attend within the parts of packed rows."""
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    packed: Packed | None = None,
    **asked: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers asks for it: queries (1, heads, T, width) to an output (1, T, heads, width).

    Raises:
        ValueError: something is asked for that is not done here.
    """
    if packed is None or attention_mask is not None or dropout or any(asked.get(name) is not None for name in _UNKNOWN):
        raise ValueError("attention of another kind")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    attention: Any = _Attention.apply
    return attention(query[0], key[0], value[0], scale, packed)[None], None


AttentionInterface.register(_NAME, _attend)


class _Attention(torch.autograd.Function):
    """Attention within the parts of packed rows. Queries (H, T, width), keys (K, T, width) and values (K, T, out) of
    fewer heads make an output (T, H, out).

    The queries of all heads that share a key are one factor, so keys and values are never repeated.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float, packed: Packed) -> Tensor:
        output = query.new_empty(query.shape[1], query.shape[0], value.shape[-1])
        kept = []
        for place in packed.places:
            values = packed.seen(value, place)
            shares = _shares(query, key, scale, packed, place)
            _spread(output, place, torch.bmm(shares, values))
            kept.append(shares if values.shape[1] <= _SAVED else None)
        ctx.save_for_backward(query, key, value, *kept)
        ctx.scale, ctx.packed = scale, packed
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        scale, packed = ctx.scale, ctx.packed
        of_output = gradients[0].transpose(0, 1)  # (H, T, out)
        of_query = query.new_empty(query.shape[1], query.shape[0], query.shape[2])
        of_key, of_value = (states.new_zeros(states.shape) for states in (key, value))
        for place, found in zip(packed.places, kept, strict=True):
            shares = _shares(query, key, scale, packed, place) if found is None else found
            of_part = _gathered(of_output, place, len(key))
            _return(of_value, packed, place, torch.bmm(shares.transpose(1, 2), of_part))
            of_shares = torch.bmm(of_part, packed.seen(value, place).transpose(1, 2))
            of_scores = torch.ops.aten._softmax_backward_data(of_shares, shares, -1, shares.dtype).mul_(scale)
            _spread(of_query, place, torch.bmm(of_scores, packed.seen(key, place)))
            _return(of_key, packed, place, torch.bmm(of_scores.transpose(1, 2), _gathered(query, place, len(key))))
        return of_query.transpose(0, 1), of_key, of_value, None, None


def _shares(query: Tensor, key: Tensor, scale: float, packed: Packed, place: slice) -> Tensor:
    """Return how much each token of a part takes of each that it sees, (K, H / K * l, seen)."""
    queries = _gathered(query, place, len(key))
    scores = torch.bmm(queries, packed.seen(key, place).transpose(1, 2)).mul_(scale)
    own = place.stop - place.start
    by_head = scores.view(len(key), -1, own, scores.shape[-1])
    by_head[..., packed.before(place) :] += packed.later[:own, :own].to(scores.dtype)
    return torch.softmax(scores, dim=-1, dtype=torch.float32).to(scores.dtype)


def _gathered(states: Tensor, place: slice, groups: int) -> Tensor:
    """Return a part (H, l, width) with the heads of a group below each other, (K, H / K * l, width)."""
    return states[:, place].reshape(groups, -1, states.shape[-1])


def _spread(into: Tensor, place: slice, part: Tensor) -> None:
    """Put a part with the heads of a group below each other into (T, H, width)."""
    own = into[place]  # (l, H, width)
    own.copy_(part.view(own.shape[1], len(own), own.shape[2]).transpose(0, 1))


def _return(into: Tensor, packed: Packed, place: slice, part: Tensor) -> None:
    """Add up a part's gradient of what it has seen, (K, seen, width), in (K, T, width)."""
    before = packed.before(place)
    into[:, :before] += part[:, :before]
    into[:, place] += part[:, before:]
