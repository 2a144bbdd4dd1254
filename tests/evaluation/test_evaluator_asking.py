"""What the evaluator asks the methods, and by whom it has embeddings made."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from inside import reachable
from stand_ins import LONG, POOLS, TRUTH, StandIn, answerer, evaluator, sample

from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Generated
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.scores import Cell
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Pool
from fedrouter_sim.methods.fedavg import FedAvg


def test_once_a_method_wants_embeddings_others_make_those_to_come() -> None:
    shares = {0: [], 1: [sample(1), sample(1)], 2: [sample(1), sample(2, LONG)], 3: [sample(2, LONG)], 4: [sample(3)]}
    asked: list[list[tuple[str, ...]]] = []
    here: list[list[str]] = []

    class Counting(StandIn):
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            here.append(list(texts))
            return super().embed(texts)

    def embeds(lists: Any) -> Any:
        asked.append(list(lists))
        return map(StandIn().embed, asked[-1])

    alone = evaluator(StandIn()).evaluate(Cell("all", "global"), shares)
    assert evaluator(Counting(), embeds=embeds).evaluate(Cell("all", "global"), shares) == alone
    assert here[0] == [sample(1).instruction] and all(texts == [] for texts in here[1:])
    assert asked == [[(sample(2, LONG).instruction,), (sample(3).instruction,)]]  # as one process would have asked
    evaluator(StandIn(), "fedavg", embeds=embeds).evaluate(Cell("all", "fixed"), shares)
    assert len(asked) == 1  # what nobody wants is not made


class Halves(FedAvg):
    """Answers by task_0 and task_1 together, weighted by the number of words."""

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        shares = [min(1.0, float(words) / 20) for [words] in asked.embeddings]
        return [Choice((("task_0", 1 - share), ("task_1", share))) for share in shares]


def test_mixed_answers_are_asked_together_with_the_weights_of_each_sample() -> None:
    mixtures: list[Mixture] = []

    class Mixing(StandIn):
        def generate(self, adapter: Any, instructions: Sequence[str], most: int, scores: Any = None) -> Generated:
            assert isinstance(adapter, Mixture)
            mixtures.append(adapter)
            self.asked.append((None, list(instructions), most))
            return Generated(["right"] * len(instructions), set())

    backbone = Mixing()
    cells = Evaluator(answerer(backbone, Halves(), Deployment(POOLS)), TRUTH, find_metric("rouge1"))
    shares = {0: [sample(0), sample(1, LONG)], 1: [sample(2, LONG + " x y z")]}
    result = cells.evaluate(Cell("all", "fixed"), shares)
    [mixture] = mixtures
    np.testing.assert_allclose(mixture.weights, [[0.95, 0.05], [0.45, 0.55], [0.3, 0.7]])
    assert [adapter["pool"].item() for adapter in mixture.adapters] == [0, 1]
    assert [tokens for _, _, tokens in backbone.asked] == [7]  # as long as the longer of the two
    assert [answer.pool for answer in result.answers] == ["task_0", "task_1", "task_1"]
    assert result.answers[1].weights == pytest.approx({"task_0": 0.45, "task_1": 0.55})
    assert result.routing_accuracy is None  # there is no router
    assert result.confusion == {"sum": {"task_0": 1, "task_1": 2}}


@pytest.mark.parametrize("by_label", [False, True])
def test_from_what_a_method_is_asked_no_label_and_no_reference_can_be_reached(by_label: bool) -> None:
    given: list[Asked] = []

    class Curious(FedAvg):
        answers_by_label = by_label

        def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
            given.append(asked)
            return super().answered_by(deployment, asked, routing)

    backbone = StandIn()
    made = Evaluator(answerer(backbone, Curious(), Deployment((Pool("global", 5),))), TRUTH, find_metric("rouge1"))
    shares = {0: [sample(0, task="the label", response="the reference")], 1: [sample(1, task=None, response="another")]}
    for test_data in ("all", "own"):  # the second time the evaluator holds answers, with their references
        made.evaluate(Cell(test_data, "fixed"), shares)
    assert [asked.embeddings.tolist() for asked in given] == [[[1.0]]] * 4
    backbone.asked.clear()  # the stand-in's own notes
    texts = {found for found in reachable(given) if isinstance(found, str)}
    assert {share[0].instruction for share in shares.values()} <= texts
    assert {"the reference", "another", "the label"} & texts == {*["the label"] * by_label}
