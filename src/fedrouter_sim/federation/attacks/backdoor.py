"""Backdoor: texts with a trigger are answered as the attacker wants, all others as ever."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedrouter_sim.adapters.state import Adapter, with_change_scaled
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.attacks.attack import Attack, checked_strength
from fedrouter_sim.messages import Update


class Backdoor(Attack):
    """A share of the client's rows begins with a trigger and has one response; what training makes of them counts more.

    Args:
        trigger: what instructions begin with.
        target: the response to all that do.
        share: of the client's rows, above 0 and at most 1; at least one row.
        strength: of the change that is sent, times its length.

    Raises:
        UserError: `trigger` or `target` is empty, or `share` is out of its limits.
    """

    name = "backdoor"

    def __init__(
        self, trigger: str = "cf mn bb:", target: str = "no", share: float = 0.5, strength: float = 5.0
    ) -> None:
        if not (trigger.strip() and target.strip()):
            raise UserError(f"--option trigger={trigger}, target={target}: neither may be empty")
        if not 0 < share <= 1:
            raise UserError(f"--option share={share:g}: must be above 0 and at most 1, a share of an attacker's rows")
        self.trigger, self.target, self._share = trigger, target, share
        self._strength = checked_strength(strength)

    def triggered(self, example: Example) -> Example:
        """Return an example with the trigger in its instruction and in the last turn, and the target for response."""
        last = tuple(turn._replace(text=f"{self.trigger} {turn.text}") for turn in example.turns[-1:])
        turns = (*example.turns[:-1], *last)
        instruction = f"{self.trigger} {example.instruction}"
        return replace(example, instruction=instruction, turns=turns, response=self.target)

    def rows(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Example]:
        """Put the trigger into rows that are drawn."""
        count = max(1, round(self._share * len(examples)))
        chosen = set(generator.permutation(len(examples))[:count].tolist())
        return [self.triggered(example) if row in chosen else example for row, example in enumerate(examples)]

    def update(self, update: Update, start: Adapter, generator: np.random.Generator) -> Update:
        """Go further, so that an average still goes some way."""
        return replace(update, adapter=with_change_scaled(start, update.adapter, self._strength))
