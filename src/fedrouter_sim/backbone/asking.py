"""Texts that one adapter is to answer, as work that can be handed to whoever has the backbone."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.adapters.together import ByAnswer
from fedrouter_sim.arrays import Floats
from fedrouter_sim.backbone.answering import Generated
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.ensemble import Beliefs, apart, joint_losses, times
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.scoring import PromptScores
from fedrouter_sim.examples.record import Example

_Scores = NDArray[np.float64] | None


@dataclass(frozen=True)
class Replies:
    """What became of an `Asking`."""

    generated: Generated
    scores: _Scores = None  # (n, 2), as `Backbone.score` gives them; None where not asked for
    cut: frozenset[str] = frozenset()  # instructions that were cut to fit, in answering or in scoring


@dataclass(frozen=True)
class Asking:
    """Texts that the same adapter, or mixture of adapters, answers. What comes out depends on nothing else."""

    adapter: Adapter | Mixture | None  # None: the bare backbone
    examples: tuple[Example, ...]
    most: int  # tokens of an answer
    scored: bool = False  # whether the loss of the responses is asked for too

    def answered_by(self, backbone: Backbone) -> Replies:
        """Answer and, where asked for, score."""
        encoded = backbone.encoder.examples(self.examples) if self.scored else []
        if isinstance(self.adapter, Mixture) and isinstance(self.adapter.together, ByAnswer):
            generated, scores = self._averaged(backbone, self.adapter, encoded)
        else:
            generated, scores = self._answered(backbone, encoded)
        cut = {self.examples[row].instruction for row, one in enumerate(encoded) if one.prompt.cut}
        return Replies(generated, scores, frozenset(generated.cut | cut))

    def _answered(self, backbone: Backbone, encoded: Sequence[EncodedExample]) -> tuple[Generated, _Scores]:
        if not self.scored:
            return backbone.generate(self.adapter, self.examples, self.most), None
        known = PromptScores(encoded, backbone.encoder.eos)
        generated = backbone.generate(self.adapter, self.examples, self.most, known)
        scores = np.array([(known.found.get(row, np.nan), len(one.response)) for row, one in enumerate(encoded)])
        if left := [row for row in range(len(encoded)) if row not in known.found]:
            scores[left] = backbone.score(self.adapter, [encoded[row] for row in left])
        return generated, scores

    def _averaged(
        self, backbone: Backbone, mixture: Mixture, encoded: Sequence[EncodedExample]
    ) -> tuple[Generated, _Scores]:
        """Answer by adapters that are averaged in probability, each of which has a row of its own for every text."""
        count, each = len(mixture.adapters), apart(mixture)
        found = backbone.generate(each, times(self.examples, count), self.most, beliefs=Beliefs(mixture))
        generated = Generated(found.answers[::count], found.cut)
        if not self.scored:
            return generated, None
        scores = backbone.score(each, times(encoded, count))
        return generated, np.stack([joint_losses(mixture, scores[:, 0]), scores[::count, 1]], axis=1)


Embeds = Callable[[Iterable[Sequence[str]]], Iterator[Floats]]
"""Embeds lists of texts, (n, d) each, in the order of what was asked. The texts of a list share their batches."""

Answers = Callable[[Iterable[Asking]], Iterator[Replies]]
"""Answers one after the other, in the order of what was asked."""


def answers_of(backbone: Backbone) -> Answers:
    """Return what answers by a backbone in this process, each when it is wanted."""
    return lambda asked: (one.answered_by(backbone) for one in asked)
