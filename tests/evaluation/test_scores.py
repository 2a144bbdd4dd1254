"""Answers and their scores: means over answers, over clients, and as they stand in files."""

import math

import pytest

from fedrouter_sim.evaluation.metrics import TAKEN, all_metrics, find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered
from fedrouter_sim.evaluation.scores import Answer, Cell, CellResult, Scores, grouped
from fedrouter_sim.partition.test_data import HELD_OUT
from fedrouter_sim.routing import GLOBAL

METRICS = all_metrics(find_metric("rouge1"))


def answer(
    client: int = 0, text: str = "right", labels: bool = False, loss: float = 6.0, tokens: int = 3, task: str = "sum"
) -> Answer:
    sample = Answered("right", text, labels, loss, tokens)
    scores = {metric.name: metric.measure(sample) for metric in METRICS}
    return Answer(client, task, "What?", "task_0", sample, scores, margin=0.5, weights={"task_0": 0.75, "task_1": 0.25})


def test_scores_are_means_over_answers() -> None:
    scores = Scores.of([answer(), answer(text="wrong"), answer(), answer(text="Right", labels=True)], METRICS)
    assert (scores.samples, scores["rouge1"], scores["exact_match"]) == (4, 0.75, 1.0)
    assert scores["rouge1"] == scores.values["rouge1"]
    assert list(scores.values) == [
        "rouge1",
        "rouge2",
        "rouge_l",
        "exact_match",
        "balanced_accuracy",
        "macro_f1",
        "loss",
    ]


def test_the_loss_of_a_client_is_per_token() -> None:
    scores = Scores.of([answer(loss=2.0, tokens=1), answer(loss=2.0, tokens=3)], METRICS)
    assert scores["loss"] == 1.0  # and not the mean of 2 and 2/3


def test_the_mean_over_clients_counts_each_the_same() -> None:
    metrics = [find_metric(name) for name in ("rouge1", "exact_match", "loss")]
    one = Scores(30, {"rouge1": 1.0, "exact_match": None, "loss": 2.0})
    two = Scores(1, {"rouge1": 0.5, "exact_match": 0.25, "loss": 1.0})
    mean = Scores.mean_of([one, two], metrics)
    assert mean == Scores(31, {"rouge1": 0.75, "exact_match": 0.25, "loss": 1.5})  # over those that have a value
    assert Scores.mean_of([one], metrics).values == one.values


def test_a_loss_that_is_not_finite_at_one_client_is_none_of_all() -> None:
    """Else a method that diverged for one client would be better by loss than one that did not."""
    own = [answer(client=0, loss=2.0, tokens=2), answer(client=1, loss=math.inf, tokens=2)]
    scores = Scores.over_clients(own, METRICS)
    assert scores["loss"] is None and scores["rouge1"] is not None
    assert Scores.over_clients(own[:1], METRICS)["loss"] == 1.0


def test_scores_in_a_file_are_flat() -> None:
    assert Scores(3, {"rouge1": 0.5, "exact_match": None}).to_dict() == {
        "samples": 3, "rouge1": 0.5, "exact_match": None
    }  # fmt: skip


def test_an_answer_in_a_file_has_its_scores_beside_what_was_measured() -> None:
    line = answer(client=2, text="wrong", labels=True).to_dict()
    assert set(line) == {*TAKEN, *(metric.name for metric in METRICS)} - {"samples"}
    assert (
        list(line)
        == (
            "client task instruction reference pool answer rouge1 rouge2 rouge_l exact_match balanced_accuracy "
            "macro_f1 loss tokens margin confidence weights unseen"
        ).split()
    )
    assert (line["reference"], line["answer"], line["exact_match"], line["rouge1"]) == ("right", "wrong", 0.0, 0.0)
    assert (line["loss"], line["tokens"]) == (6.0, 3)  # summed over tokens, not the metric's mean
    assert (line["client"], line["margin"], line["weights"]) == (2, 0.5, {"task_0": 0.75, "task_1": 0.25})


def test_answers_are_grouped_in_order_of_appearance() -> None:
    answers = [answer(2), answer(0), answer(2, task="title")]
    assert grouped(answers, lambda a: a.client) == {2: [answers[0], answers[2]], 0: [answers[1]]}
    assert list(grouped(answers, lambda a: a.task)) == ["sum", "title"]
    assert grouped([], lambda a: a.client) == {}


def test_a_cell_is_named_after_its_data_and_its_routing() -> None:
    assert Cell(HELD_OUT, GLOBAL).name == "held-out-global"
    assert Cell(HELD_OUT, GLOBAL, "soft+nearest=3").name == "held-out-global@soft+nearest=3"


def test_a_result_in_a_file_leaves_the_single_answers_out() -> None:
    scores = Scores(1, {"rouge1": 0.5})
    result = CellResult(
        Cell("all", "global"), scores, 2, {2: scores}, {"sum": scores}, 0.5, {"sum": {"task_0": 1}}, "abc", [answer()]
    )
    assert result.to_dict() == {
        "cell": {"test_data": "all", "routing": "global", "router": None},
        "mean": {"samples": 1, "rouge1": 0.5},
        "worst_client": 2,
        "per_client": {"2": {"samples": 1, "rouge1": 0.5}},
        "per_task": {"sum": {"samples": 1, "rouge1": 0.5}},
        "routing_accuracy": 0.5,
        "routing_ece": None,
        "confusion": {"sum": {"task_0": 1}},
        "label_tasks": {},
        "samples_sha256": "abc",
    }


def test_an_absent_metric_is_no_score() -> None:
    with pytest.raises(KeyError):
        _ = Scores(1, {"rouge1": 0.5})["bleu"]
