"""From texts to answers: who is asked, with what, and what a method may not say."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest
import torch

from fedrouter_sim.adapters.by_token import ByToken
from fedrouter_sim.answerer import Answerer
from fedrouter_sim.backbone.answering import Generated
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Pool, client_pool
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.methods.local import Local
from fedrouter_sim.routing import BARE, FIXED

POOLS = (Pool("task_0", 5), Pool("task_1", 7))
ADAPTERS = {"task_0": {"pool": torch.tensor(0)}, "task_1": {"pool": torch.tensor(1)}}
TEXTS = [Example(f"text {number}", "") for number in range(4)]


@dataclass
class StandIn:
    """A backbone that says which adapter it answers with."""

    asked: list[tuple[Any, list[str], int]] = field(default_factory=list)

    def generate(self, adapter: Any, instructions: Sequence[str], most: int, scores: Any = None) -> Generated:
        self.asked.append((adapter, list(instructions), most))
        name = "bare" if adapter is None else "mixed" if isinstance(adapter, Mixture) else str(adapter["pool"].item())
        return Generated([f"{name}: {text}" for text in instructions], set())

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), 1), dtype=np.float32)


def answerer(method: Any, pools: tuple[Pool, ...] = POOLS) -> tuple[Answerer, StandIn]:
    backbone = StandIn()
    deployment = Deployment(pools)
    return Answerer(backbone, method, deployment, ADAPTERS.__getitem__, 9), backbone  # type: ignore[arg-type]


def test_texts_of_one_adapter_are_answered_together_in_their_order() -> None:
    made, backbone = answerer(FedAvg())
    weights = [Choice.of(pool).weights for pool in ("task_1", None, "task_1", "task_0")]
    batches = list(made.answer(weights, [text.instruction for text in TEXTS]))
    assert [batch.positions for batch in batches] == [[0, 2], [1], [3]]
    assert [batch.generated.answers for batch in batches] == [
        ["1: text 0", "1: text 2"],
        ["bare: text 1"],
        ["0: text 3"],
    ]
    assert [most for _, _, most in backbone.asked] == [7, 9, 5]  # the pool's longest response; the backbone's own
    assert batches[1].adapter is None


def test_a_mixture_has_the_weights_of_each_text_and_the_longer_answer() -> None:
    made, backbone = answerer(FedAvg())
    weights = [(("task_0", 0.25), ("task_1", 0.75)), (("task_0", 1.5), ("task_1", -0.5))]
    [batch] = made.answer(weights, ["a", "b"])
    assert isinstance(batch.adapter, Mixture) and batch.generated.answers == ["mixed: a", "mixed: b"]
    np.testing.assert_array_equal(batch.adapter.weights, [[0.25, 0.75], [1.5, -0.5]])
    assert backbone.asked[0][2] == 7
    [scaled] = made.answer([(("task_0", 0.5),)], ["a"])  # half of one adapter is a mixture, too
    assert isinstance(scaled.adapter, Mixture)


def test_the_bare_backbone_is_chosen_without_asking_the_method() -> None:
    class Silent(FedAvg):
        def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
            pytest.fail("was asked")

    made, _ = answerer(Silent())
    assert made.choose(TEXTS, None, BARE) == [Choice()] * 4
    assert made.choose([], 0, FIXED) == []


def test_the_method_hears_who_asks_and_refuses_nobody_where_that_matters() -> None:
    made, _ = answerer(Local(), (Pool(client_pool(3), 5),))
    assert made.choose(TEXTS, 3, FIXED) == [Choice.of(client_pool(3))] * 4
    with pytest.raises(UserError, match="--client: who answers depends on the client that asks"):
        made.choose(TEXTS, None, FIXED)


def test_embeddings_are_computed_only_if_the_method_wants_them_and_by_what_is_given() -> None:
    given: list[Asked] = []

    class Listening(FedAvg):
        def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
            given.append(asked)
            return super().answered_by(deployment, asked, routing)

    made, _ = answerer(Listening(), (Pool("global", 5),))
    made.choose(TEXTS, 0, FIXED, lambda texts: pytest.fail("nobody wanted any"))
    made.choose(TEXTS[:2], 0, FIXED, lambda texts: np.array([[len(texts)]], dtype=np.float32))
    made.choose(TEXTS, 0, FIXED)
    assert [asked.instructions for asked in given[1:]] == [
        ("text 0", "text 1"),
        tuple(text.instruction for text in TEXTS),
    ]
    assert given[1].embeddings.tolist() == [[2.0]] and given[2].embeddings.shape == (4, 1)


@pytest.mark.parametrize("by_label", [False, True])
def test_only_a_method_that_says_so_hears_the_tasks_of_the_texts(by_label: bool) -> None:
    given: list[Asked] = []

    class Listening(FedAvg):
        answers_by_label = by_label

        def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
            given.append(asked)
            return super().answered_by(deployment, asked, routing)

    made, _ = answerer(Listening(), (Pool("global", 5),))
    made.choose([Example("text", "reference", "label"), Example("other", "reference")], 2, FIXED)
    [asked] = given
    assert (asked.client, asked.instructions) == (2, ("text", "other"))
    known = {"asker", "instructions", "embed"}
    assert {one.name for one in fields(asked)} == (known | {"tasks"} if by_label else known)
    assert getattr(asked, "tasks", None) == (("label", None) if by_label else None)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ([], "answered_by gave 0 choices for 1 samples"),
        ([Choice(), Choice()], "answered_by gave 2 choices for 1 samples"),
        ([Choice.of("task_7")], "answered_by chose the pool 'task_7', and the plan has only task_0, task_1"),
        ([Choice((("task_0", float("nan")),))], "answered_by gave a weight that is no finite number"),
        ([Choice((("task_0", 0.5), ("task_1", float("inf"))))], "answered_by gave a weight that is no finite number"),
    ],
)
def test_wrong_choices_of_a_method_are_refused_by_its_name(choices: list[Choice], said: str) -> None:
    class Wrong(FedAvg):
        name = "wrong"

        def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
            return choices

    made, _ = answerer(Wrong())
    with pytest.raises(UserError, match=f"method wrong: {said}"):
        made.choose(TEXTS[:1], 0, FIXED)


class ByTokens(StandIn):
    """A backbone whose prompts lean on the second adapter, the more the later they are asked."""

    def token_shares(self, mixture: Mixture, asked: Sequence[Example]) -> np.ndarray:
        assert mixture.weights is None and len(mixture.adapters) == 2
        return np.array(
            [[0.4 - int(text.instruction[-1]) / 10, 0.6 + int(text.instruction[-1]) / 10] for text in asked]
        )


def test_choices_by_token_get_the_mean_weights_of_their_prompts_and_are_answered_so() -> None:
    even = (("task_0", 0.5), ("task_1", 0.5))

    class Some(FedAvg):
        def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
            by_token, sure = Choice(even, together=ByToken(2)), Choice((("task_0", 1.0),), confidence=0.7)
            return [by_token, sure, Choice(even), by_token]

    backbone = ByTokens()
    made = Answerer(backbone, Some(), Deployment(POOLS), ADAPTERS.__getitem__, 9)  # type: ignore[arg-type]
    choices = made.choose(TEXTS, None, FIXED)
    assert choices[1:3] == [Choice((("task_0", 1.0),), confidence=0.7), Choice(even)]
    assert [choices[place].confidence for place in (0, 3)] == pytest.approx([0.6, 0.9])
    assert [choices[place].pool for place in (0, 3)] == ["task_1"] * 2
    told = [choice.weights for choice in choices], TEXTS, [choice.together for choice in choices]
    by_positions = {tuple(batch.positions): batch.adapter for batch in made.answer(*told)}
    assert list(by_positions) == [(0, 3), (1,), (2,)]  # weights by token and by text are not mixed up
    mixture, fixed = by_positions[0, 3], by_positions[2,]
    assert isinstance(mixture, Mixture) and (mixture.weights, mixture.together) == (None, ByToken(2))
    assert isinstance(fixed, Mixture) and fixed.together is None and fixed.weights is not None
