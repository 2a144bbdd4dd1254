"""The server's door: what an update has to be before it counts, and how far it may move a pool."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypedDict

import torch

from fedrouter_sim.adapters.state import Adapter, check_finite, check_shapes, check_types, with_change_scaled
from fedrouter_sim.messages import Update


class Refusal(TypedDict):
    """An update that did not count; part of a line of rounds.jsonl."""

    client: int
    group: int
    pool: str
    reason: str


class Door:
    """Lets updates in that fit the adapter that all pools start from and what their clients declared.

    To which pool an update belongs is not checked: the server ordered its training, and knows.

    Args:
        initial: the adapter that pools start from.
        clip: L2 norm, over all weights of A and of B, at which an update's change of its pool's adapter is clipped; 0:
            never.
        declared: client -> how many training examples it said that it has; None: nobody said.
    """

    def __init__(self, initial: Adapter, clip: float = 0.0, declared: Mapping[int, int] | None = None) -> None:
        self._initial = initial
        self._shapes = {key: tuple(value.shape) for key, value in initial.items()}
        self._clip = clip
        self._declared = declared

    def let_in(self, update: Update, start: Adapter) -> Update:
        """Return an update as it counts: as it was sent, or with its change clipped.

        Args:
            update: as it was sent.
            start: its pool's adapter at the start of the round.

        Raises:
            ValueError: it must not count; the message is the reason.
        """
        check_shapes(self._shapes, update.adapter)
        check_types(self._initial, update.adapter)
        check_finite(update.adapter)
        self._check_examples(update)
        return replace(update, adapter=clipped(start, update.adapter, self._clip)) if self._clip else update

    def _check_examples(self, update: Update) -> None:
        """Raise ValueError unless an update's example count, which is its weight, is one that its client can have."""
        if not update.examples > 0:
            raise ValueError(f"its example count {update.examples} is not positive")
        if self._declared is not None and not update.examples <= (most := self._declared.get(update.client, 0)):
            raise ValueError(f"its example count {update.examples} is above the {most} that its client declared")


def clipped(start: Adapter, adapter: Adapter, most: float) -> Adapter:
    """Return an adapter whose change from `start` is scaled down to the L2 norm `most`, over all weights together; the
    same adapter where the change is not above it. Computed in float64."""
    squares = [(value.double() - start[key].double()).square().sum() for key, value in adapter.items()]
    norm = float(torch.stack(squares).sum().sqrt())
    return adapter if norm <= most else with_change_scaled(start, adapter, most / norm)
