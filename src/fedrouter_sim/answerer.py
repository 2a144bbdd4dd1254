"""The one way from texts to answers: (texts, who asks) -> choices -> answers.

Evaluation, `route`, Python's `RoutedModel` and any server go through it, so that what is scored is what is served.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedrouter_sim.adapters.by_token import ByToken
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.adapters.together import Together
from fedrouter_sim.arrays import Floats
from fedrouter_sim.backbone.answering import Generated
from fedrouter_sim.backbone.asking import Answers, Asking, Replies, answers_of
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Labelled, Weights
from fedrouter_sim.methods.method import Method
from fedrouter_sim.routing import BARE

Embed = Callable[[Sequence[str]], Floats]
"""Gives the embeddings (n, d) of n texts."""


@dataclass(frozen=True)
class Batch:
    """Texts that the same adapter, or mixture of adapters, has answered."""

    positions: list[int]  # of the texts among those asked
    adapter: Adapter | Mixture | None  # None: the bare backbone
    replies: Replies

    @property
    def generated(self) -> Generated:
        """The answers."""
        return self.replies.generated


class Answerer:
    """Answers texts as a run's method says.

    Args:
        backbone: the run's backbone.
        method: the run's method.
        deployment: the run's pools, its router if it has one, and what else the method answers with.
        adapters: gives the adapter of a pool by name.
        longest_answer: most tokens of an answer of the bare backbone.
        answers: who runs the backbone; None for this process.
    """

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        deployment: Deployment,
        adapters: Callable[[str], Adapter],
        longest_answer: int,
        answers: Answers | None = None,
    ) -> None:
        self.backbone = backbone
        self.method = method
        self.deployment = deployment
        self._pools = {pool.name: pool for pool in deployment.pools}
        self._adapters = adapters
        self._longest_answer = longest_answer
        self._answers = answers or answers_of(backbone)

    def choose(
        self,
        examples: Sequence[Example],
        client: int | None,
        routing: str,
        embed: Embed | None = None,
    ) -> list[Choice]:
        """Say who answers each text.

        The method hears the instructions and, if it wants them, their embeddings; the tasks only where it
        `answers_by_label`. Responses go to nobody.

        Args:
            examples: the texts, as instructions.
            client: who asks; None: nobody in particular.
            routing: one of the method's routings, or 'none' for the bare backbone.
            embed: gives embeddings (n, d) of instructions; None for the backbone's. The method gets hold of it, so
                it must not hold labels or responses itself.

        Raises:
            UserError: the method has to know who asks, or it gives choices that are of no use.
        """
        if routing == BARE or not examples:
            return [Choice()] * len(examples)
        asked = self._asked(examples, client, embed or self.backbone.embed)
        choices: Any = self.method.answered_by(self.deployment, asked, routing)
        name = f"method {self.method.name}: answered_by"
        count = len(choices) if isinstance(choices, Sequence) else 0
        if count != len(examples):
            raise UserError(f"{name} gave {count} choices for {len(examples)} samples; it has to give one for each")
        for pool in {pool for choice in choices for pool, _ in choice.weights} - self._pools.keys():
            raise UserError(f"{name} chose the pool {pool!r}, and the plan has only {', '.join(self._pools)}")
        if not all(math.isfinite(weight) for choice in choices for _, weight in choice.weights):
            raise UserError(f"{name} gave a weight that is no finite number")
        return self._weighed(choices, examples)

    def _weighed(self, choices: Sequence[Choice], examples: Sequence[Example]) -> list[Choice]:
        """Give choices by token the mean weights over their prompts, of which the largest is the confidence."""
        done = list(choices)
        for (pools, together, _), positions in _alike(
            [(choice.weights, choice.together) for choice in choices]
        ).items():
            if not isinstance(together, ByToken):
                continue
            mixture = Mixture(tuple(map(self._adapters, pools)), None, together)
            shares = self.backbone.token_shares(mixture, [examples[position] for position in positions])
            for position, row in zip(positions, shares.tolist(), strict=True):
                weights = tuple(zip(pools, row, strict=True))
                done[position] = replace(choices[position], weights=weights, confidence=max(row))
        return done

    def _asked(self, examples: Sequence[Example], client: int | None, embed: Embed) -> Asked:
        """Return what the method is asked: no more of the examples than it may know."""
        instructions = tuple(example.instruction for example in examples)

        def embeddings() -> Floats:
            return embed(instructions)

        if self.method.answers_by_label:
            return Labelled(client, instructions, embeddings, tuple(example.task for example in examples))
        return Asked(client, instructions, embeddings)

    def answer(
        self,
        weights: Sequence[Weights],
        examples: Sequence[Example],
        together: Sequence[Together | None] = (),
        scored: bool = False,
    ) -> Iterator[Batch]:
        """Answer texts greedily as chosen, one adapter, or one set of mixed adapters, at a time.

        Args:
            weights: of each text's choice.
            examples: the texts.
            together: of each text's choice; none at all where none has any.
            scored: whether the texts' responses are scored too.
        """
        told = list(zip(weights, together or [None] * len(weights), strict=True))
        out = deque[tuple[list[int], Adapter | Mixture | None]]()  # what is being answered

        def asked() -> Iterator[Asking]:
            for (pools, kind, _), positions in _alike(told).items():
                adapter = self._adapter_of(pools, [weights[position] for position in positions], kind)
                most = max((self._pools[pool].answer_tokens for pool in pools), default=self._longest_answer)
                out.append((positions, adapter))
                yield Asking(adapter, tuple(examples[position] for position in positions), most, scored)

        for replies in self._answers(asked()):
            yield Batch(*out.popleft(), replies)

    def _adapter_of(
        self, pools: tuple[str, ...], weights: Sequence[Weights], together: Together | None
    ) -> Adapter | Mixture | None:
        """Return what answers texts whose choices are over the same pools."""
        if not pools:
            return None
        rows = np.array([[weight for _, weight in of_text] for of_text in weights])
        if len(pools) == 1 and (rows == 1).all():
            return self._adapters(pools[0])
        adapters = tuple(self._adapters(pool) for pool in pools)
        return Mixture(adapters, None if isinstance(together, ByToken) else rows, together)


def _alike(
    choices: Sequence[tuple[Weights, Together | None]],
) -> dict[tuple[tuple[str, ...], Together | None, bool], list[int]]:
    """Return the positions of choices by their pools, by how these answer together, and by whether one pool
    answers alone: its texts do not go together with those of a mix with the bare backbone."""
    found: dict[tuple[tuple[str, ...], Together | None, bool], list[int]] = {}
    for position, (weights, together) in enumerate(choices):
        alone = [weight for _, weight in weights] == [1]
        found.setdefault((tuple(pool for pool, _ in weights), together, alone), []).append(position)
    return found
