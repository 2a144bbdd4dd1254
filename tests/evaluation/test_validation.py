"""The validation curve: the scores of a round's adapters on the validation share, and on nothing else."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from inside import backbone_of

from fedrouter_sim.answerer import Answerer
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import MayPass
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.evaluation.scores import Cell
from fedrouter_sim.evaluation.validation import ValidationCurve
from fedrouter_sim.examples.record import Shares
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.assigning import split_iid
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.partition.test_data import VALIDATION

Simulator = Callable[..., Any]
METHOD = find_method("fedavg")


class Nothing(Metric):
    """A metric that applies to no answer."""

    name, title = "nothing", "nothing"

    def measure(self, sample: Answered) -> float | None:
        return None


@pytest.fixture(scope="module")
def done(run_method: Simulator) -> Any:
    return run_method("fedavg", rounds=1, local_steps=2, test_examples_per_client=3)


def curve(done: Any, config: RunConfig, shares: Shares, metric: str | Metric = "rouge1") -> ValidationCurve:
    first = find_metric(metric) if isinstance(metric, str) else metric
    return ValidationCurve(config, shares.validation, backbone_of(done.federation), METHOD, first, 1)


def test_it_scores_the_validation_share_dealt_as_test_rows_are(done: Any) -> None:
    config = dataclasses.replace(done.federation.config, eval_every=1)
    shares, outcome = partition_data(config).shares, done.outcome
    found = curve(done, config, shares, "rouge_l")(1, outcome.deployment, outcome.adapters)
    parts = dict(enumerate(split_iid(shares.validation, 4, 3, config.seed)))
    answerer = Answerer(backbone_of(done.federation), METHOD, outcome.deployment, outcome.adapters.__getitem__, 1)
    result = Evaluator(answerer, None, find_metric("rouge_l")).evaluate(Cell(VALIDATION, "fixed"), parts)
    per_task = {f"rouge_l/{task}": scores["rouge_l"] for task, scores in result.per_task.items()}
    assert found == {"rouge_l": result.mean["rouge_l"], "loss": result.mean["loss"]} | per_task
    assert len(per_task) == 4


class Failing(Metric):
    """A metric of a user's that fails on some answers."""

    name, title = "failing", "failing"

    def measure(self, sample: Answered) -> float | None:
        raise ValueError("cannot be measured")


def test_a_metric_that_fails_leaves_the_round_without_scores_and_says_so(done: Any) -> None:
    config = dataclasses.replace(done.federation.config, eval_every=1)
    shares, outcome, heard = partition_data(config).shares, done.outcome, list[str]()
    of_run = (config, shares.validation, backbone_of(done.federation), METHOD, Failing())
    validate = ValidationCurve(*of_run, 1, noted=heard.append)
    assert validate(3, outcome.deployment, outcome.adapters) is None
    [said] = heard
    assert said.startswith("validation of round 3 failed, and training goes on: ") and "cannot be measured" in said


def test_what_may_pass_is_not_taken_for_a_metric_that_fails(done: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*given: Any) -> Any:
        raise MayPass("a worker died")

    config = dataclasses.replace(done.federation.config, eval_every=1)
    monkeypatch.setattr(Evaluator, "evaluate", gone)
    with pytest.raises(MayPass):
        curve(done, config, partition_data(config).shares)(1, done.outcome.deployment, done.outcome.adapters)


def test_test_rows_change_nothing(done: Any) -> None:
    config = dataclasses.replace(done.federation.config, eval_every=1)
    shares, given = partition_data(config).shares, (1, done.outcome.deployment, done.outcome.adapters)
    blind = dataclasses.replace(shares, test=(), train=())
    assert curve(done, config, blind)(*given) == curve(done, config, shares)(*given)


@pytest.mark.parametrize(("every", "rounds"), [(0, []), (1, [1, 2, 3, 4]), (2, [2, 4])])
def test_it_scores_every_so_many_rounds(done: Any, every: int, rounds: list[int]) -> None:
    config = dataclasses.replace(done.federation.config, eval_every=every, test_examples_per_client=1)
    validate = curve(done, config, partition_data(config).shares)
    found = [validate(round_, done.outcome.deployment, done.outcome.adapters) for round_ in range(1, 5)]
    assert [round_ for round_, scores in enumerate(found, 1) if scores is not None] == rounds


def test_a_score_that_nobody_has_is_left_out(done: Any) -> None:
    config = dataclasses.replace(done.federation.config, eval_every=1, test_examples_per_client=1)
    found = curve(done, config, partition_data(config).shares, Nothing())(
        1, done.outcome.deployment, done.outcome.adapters
    )
    assert found is not None and list(found) == ["loss"]
