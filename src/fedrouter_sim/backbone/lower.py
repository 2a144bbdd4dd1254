"""What the frozen layers below the first adapted one make of rows: computed once, kept, and given to later passes.

Where adapters are in the upper layers alone, nothing that is learnt changes what the layers below make of a row. A pass
then skips those and takes what they once made of it.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from fedrouter_sim.backbone.forward import Tokens, given_tokens, pad, run_prefix, run_rows
from fedrouter_sim.backbone.keeping import KeptRows, Made, RowKey
from fedrouter_sim.backbone.kind import Kind
from fedrouter_sim.backbone.locating import say
from fedrouter_sim.backbone.lora import first_adapted
from fedrouter_sim.backbone.skipping import SkippableLayers

_NEAR = {torch.bfloat16: 5e-2}
"""How far, as a share of the largest number, a pass may be from the plain one before a model counts as one whose lower
layers cannot be skipped, by data type."""
_NEAR_FLOAT32 = 1e-3


class AllLayers:
    """Every pass computes all layers."""

    keeps = False

    def taken(
        self, rows: Sequence[Tokens], start: int = 0, stop: int | None = None, cached: bool = False
    ) -> contextlib.AbstractContextManager[None]:
        """Have the one pass within take what lower layers make of the tokens from `start` to `stop` of these rows.

        Args:
            rows: tokens, from each row's first on.
            start: the first position that the pass takes, all in one batch padded on the right.
            stop: the position after the last; None: to each row's end.
            cached: whether `complete` follows.
        """
        return contextlib.nullcontext()

    def taken_packed(self, rows: Sequence[Tokens], shared: int) -> contextlib.AbstractContextManager[None]:
        """As `taken`, for a pass over rows that are packed: the first `shared` tokens, then the rest of each row."""
        return contextlib.nullcontext()

    def taken_after(self, rows: Sequence[Tokens], befores: Sequence[Tokens]) -> contextlib.AbstractContextManager[None]:
        """As `taken`, for a pass over what goes on after the tokens `befores`, padded on the right.

        The attention cache that the pass goes on from may hold placeholders for the lower layers.
        """
        return contextlib.nullcontext()

    def forget(self) -> None:
        """Keep nothing of what was made of rows so far."""

    def complete(self, cache: Any, rows: Sequence[Tokens]) -> None:
        """Put into the attention cache of a pass that has skipped lower layers what those would have put there."""


class LowerLayers(AllLayers):
    """Passes skip the layers below the first adapted one.

    Each row goes through those alone, after the opening of all, so that what they make of it depends on nothing else:
    not on its batch, nor on what is kept.

    Args:
        body: the model without its head.
        layers: all its decoder layers.
        first: the place of the first adapted one, above 0.
        opening: tokens that most rows begin with.
        kept: keeps what was made of rows.
    """

    keeps = True

    def __init__(
        self, body: Any, layers: Sequence[nn.Module], first: int, opening: Tokens, kept: KeptRows | None = None
    ) -> None:
        self._body = body
        self._layers = SkippableLayers(layers, first)
        self._opening = opening
        self._kept = kept or KeptRows()

    @contextlib.contextmanager
    def taken(
        self, rows: Sequence[Tokens], start: int = 0, stop: int | None = None, cached: bool = False
    ) -> Iterator[None]:
        """As `AllLayers.taken`."""
        if stop == 0:  # there is no pass
            yield
            return
        with self._layers.upper_alone(_padded([self._hidden(row, cached)[start:stop] for row in rows])):
            yield

    @contextlib.contextmanager
    def taken_packed(self, rows: Sequence[Tokens], shared: int) -> Iterator[None]:
        """As `AllLayers.taken_packed`."""
        hidden = [self._hidden(row, cached=False) for row in rows]
        packed = torch.cat([hidden[0][:shared], *(one[shared:] for one in hidden)])[None]  # (1, T, d)
        with self._layers.upper_alone(packed):
            yield

    @contextlib.contextmanager
    def taken_after(self, rows: Sequence[Tokens], befores: Sequence[Tokens]) -> Iterator[None]:
        """As `AllLayers.taken_after`."""
        hidden = [self._after(row, before).hidden for row, before in zip(rows, befores, strict=True)]
        with self._layers.upper_alone(_padded(hidden)):
            yield

    def forget(self) -> None:
        """As `AllLayers.forget`."""
        self._kept.forget()

    def complete(self, cache: Any, rows: Sequence[Tokens]) -> None:
        """As `AllLayers.complete`."""
        made = [self._of(row, cached=True) for row in rows]
        longest = max(map(len, rows))
        for place, layer in enumerate(cache.layers[: self._layers.first]):
            whole = [self._whole(row, one, place) for row, one in zip(rows, made, strict=True)]
            layer.keys, layer.values = (
                torch.stack([nn.functional.pad(one, (0, 0, 0, longest - one.shape[1])) for one in states]).to(
                    self._body.device
                )
                for states in zip(*whole, strict=True)
            )

    def agrees(self, token: int, another: int, shares: bool, completes: bool) -> bool:
        """Say whether passes that skip layers give what plain ones do, and learn on the way what layers give back.

        Args:
            token: any token.
            another: another one.
            shares: whether rows may go on from the attention cache of what they begin with.
            completes: whether attention caches are to be completed.
        """
        rows: list[Tokens] = [(token, another, another, token), (token, token, another)]
        prefix = 1 if shares else 0
        ids, mask = pad([row[prefix:] for row in rows], token, self._body.device)

        def run(lower: AllLayers) -> Any:
            with lower.taken(rows[:1], 0, prefix):
                past = run_prefix(self._body, rows[0][:prefix], self._body.device)
            with lower.taken(rows, prefix, cached=completes):
                output = run_rows(self._body, past, ids, mask, use_cache=completes)
            if completes:
                lower.complete(output.past_key_values, rows)
            return output

        try:
            with torch.no_grad():
                with self._layers.learning():
                    plain = run(AllLayers())
                found = run(self)
        except Exception:  # every family runs code of its own
            return False
        pairs = [(plain.last_hidden_state, found.last_hidden_state)]
        if completes:
            caches = zip(plain.past_key_values.layers, found.past_key_values.layers, strict=True)
            pairs += [(getattr(one, n), getattr(two, n)) for one, two in caches for n in ("keys", "values")]
        return all(_near(one, two, mask, prefix) for one, two in pairs)

    def _hidden(self, row: Tokens, cached: bool) -> Tensor:
        """Return what enters the first adapted layer at all of a row's tokens, (L, d)."""
        made = self._of(row, cached).hidden
        return torch.cat([self._opened.hidden, made]) if self._given(row) else made

    def _given(self, row: Tokens) -> int:
        return given_tokens(row, self._opening)

    def _of(self, row: Tokens, cached: bool) -> Made:
        return self._kept_or((row, cached, 0), lambda: self._run(row, cached))

    def _after(self, row: Tokens, before: Tokens) -> Made:
        """Return what is made of a row that goes on after another."""
        return self._kept_or(((*before, *row), False, len(before)), lambda: self._run_after(row, before))

    def _kept_or(self, key: RowKey, make: Callable[[], Made]) -> Made:
        made = self._kept.get(key)
        if made is None:
            made = make()
            self._kept.keep(key, made)
        return made

    @cached_property
    def _opened(self) -> Made:
        return self._run(self._opening, cached=True)

    def _run(self, row: Tokens, cached: bool) -> Made:
        """Run a row through the lower layers, what it shares with all others from their cache."""
        given = self._given(row)
        # What is made of a row in inference may train later, so it is no inference tensor.
        with torch.inference_mode(False), torch.no_grad():
            hidden, cache = self._passed(row[given:], self._opened_cache() if given else None, cached)
            states: tuple[tuple[Tensor, Tensor], ...] = ()
            if cached:
                lower = cache.layers[: self._layers.first]
                states = tuple((_own(layer.keys[0, :, given:]), _own(layer.values[0, :, given:])) for layer in lower)
            return Made(hidden, states)

    def _run_after(self, row: Tokens, before: Tokens) -> Made:
        """Run a row through the lower layers, from the attention cache of the one before it."""
        made = self._of(before, cached=True)
        with torch.inference_mode(False), torch.no_grad():
            past = DynamicCache()
            for place in range(self._layers.first):
                keys, values = (state[None].to(self._body.device) for state in self._whole(before, made, place))
                past.update(keys, values, place)
            return Made(self._passed(row, past, cached=True)[0], ())

    def _whole(self, row: Tokens, made: Made, place: int) -> tuple[Tensor, Tensor]:
        """Return a layer's keys and values (heads, L, width) for all of a row's tokens."""
        if not self._given(row):
            return made.states[place]
        keys, values = (
            torch.cat(pair, dim=1) for pair in zip(self._opened.states[place], made.states[place], strict=True)
        )
        return keys, values

    def _passed(self, tokens: Tokens, past: Any, cached: bool) -> tuple[Tensor, Any]:
        """Return what the lower layers make of tokens after a past (L, d), and their attention cache."""
        ids, mask = pad([tokens], 0, self._body.device)
        with self._layers.lower_alone() as heard:
            output = run_rows(self._body, past, ids, mask, use_cache=cached)
        return _own(heard[0][0]), output.past_key_values if cached else None

    def _opened_cache(self) -> Any:
        """Return the attention cache of the opening, in which upper layers hold nothing of worth."""
        if self._opening_cache is None:
            with self._layers.lower_alone():
                self._opening_cache = run_prefix(self._body, self._opening, self._body.device)
        return copy.deepcopy(self._opening_cache)

    _opening_cache: Any = None


def lower_layers(model: Any, kind: Kind, opening: Tokens, token: int) -> AllLayers:
    """Return what skips the layers below the first adapted one; all layers where there are none below, or where the
    model gives something else when they are skipped, as one whose layers look into each other does: the user is told.

    Args:
        model: with its head and a LoRA slot.
        kind: what kind of model it is.
        opening: tokens that most rows begin with.
        token: any token of the vocabulary.
    """
    layers, first = first_adapted(model)
    if first == 0:
        return AllLayers()
    found = LowerLayers(model.base_model, list(layers), first, opening)
    shares = not kind.stateful
    if not found.agrees(token, 1 if token == 0 else 0, shares, completes=shares and not kind.pads_left):
        say(f"--lora-layers: the lower {first} layers of this model cannot be skipped, and are computed in every pass")
        return AllLayers()
    return found


def _padded(hidden: Sequence[Tensor]) -> Tensor:
    """Return states of rows, (L, d) each, as (B, L, d), padded on the right."""
    return nn.utils.rnn.pad_sequence(list(hidden), batch_first=True)


def _own(part: Tensor) -> Tensor:
    """Return a part of a tensor in main memory, without the rest of it."""
    return part.detach().to("cpu", copy=True).contiguous()


def _near(one: Tensor, two: Tensor, mask: Tensor, prefix: int) -> bool:
    """Say whether two tensors (B, L, d) or (B, heads, prefix + L, width) are alike where nothing is padded."""
    if one.shape != two.shape:
        return False
    real = mask.bool()
    if one.dim() == 4:
        one, two = (states[:, :, prefix:].transpose(1, 2) for states in (one, two))
    most = _NEAR.get(one.dtype, _NEAR_FLOAT32) * float(one[real].abs().max())
    return bool((one[real].float() - two[real].float()).abs().max() <= most)
