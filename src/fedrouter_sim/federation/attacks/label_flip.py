"""Label flip: the client trains on answers to other questions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.attacks.attack import Attack


class LabelFlip(Attack):
    """Every row of the client has the response of another of its rows; what it sends is what honest training gives."""

    name = "label-flip"

    def rows(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Example]:
        """Pass the responses on around one ring through all rows, in an order that is drawn."""
        order = generator.permutation(len(examples)).tolist()
        flipped = list(examples)
        for place, row in enumerate(order):
            flipped[row] = replace(examples[row], response=examples[order[place - 1]].response)
        return flipped
