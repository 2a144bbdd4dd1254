"""Balanced accuracy and macro-F1: by hand, over tasks, and what they say of constant answers."""

import random

import pytest
from sklearn.metrics import f1_score, recall_score

from fedrouter_sim.evaluation.metrics.classification import BalancedAccuracy, MacroF1
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric


def mean(metric: Metric, pairs: str, task: str = "t", more: tuple[Answered, ...] = ()) -> float | None:
    """Score pairs of reference and answer, as 'yn' for a yes that was answered by no."""
    samples = [Answered(r, a, labels=True, loss=1.0, tokens=1, task=task) for r, a in pairs.split()]
    samples += more
    return metric.mean(samples, [metric.measure(sample) for sample in samples])


def test_every_label_counts_the_same_however_rare() -> None:
    pairs = "yy yy yy yn nn nn nY xn"  # recalls 3/4, 2/3, 0; precisions 3/4, 2/4, 0
    assert mean(BalancedAccuracy(), pairs) == pytest.approx((3 / 4 + 2 / 3 + 0) / 3)
    assert mean(MacroF1(), pairs) == pytest.approx((3 / 4 + 2 * (2 / 3) * (1 / 2) / (2 / 3 + 1 / 2) + 0) / 3)


@pytest.mark.parametrize("answers", ["y", "n"])
def test_a_constant_answer_has_no_more_than_a_share_for_each_label(answers: str) -> None:
    pairs = " ".join(reference + answers for reference in "yyyyyyyyyn")
    assert mean(BalancedAccuracy(), pairs) == 0.5
    found = mean(MacroF1(), pairs)
    assert found is not None and found < 0.5


def test_an_answer_that_is_no_label_is_a_miss_and_no_label_of_its_own() -> None:
    assert mean(BalancedAccuracy(), "yy nz") == 0.5
    assert mean(MacroF1(), "yy nz") == 0.5


def test_the_mean_is_over_tasks_and_those_without_labels_do_not_count() -> None:
    other = (
        Answered("a", "a", labels=True, loss=1.0, tokens=1, task="other"),
        Answered("free text", "text", labels=False, loss=1.0, tokens=1, task="free"),
    )
    assert mean(BalancedAccuracy(), "yy yy yy ny", more=other) == pytest.approx((0.5 + 1) / 2)
    assert BalancedAccuracy().measure(other[1]) is MacroF1().measure(other[1]) is None
    assert BalancedAccuracy().mean([other[1]], [None]) is None


@pytest.mark.parametrize("seed", range(20))
def test_they_are_the_macro_averages_of_scikit_learn(seed: int) -> None:
    draw = random.Random(seed)
    words = "abcdefgh"[: draw.randint(1, 8)]
    pairs = [draw.choice(words) + draw.choice(words + "z") for _ in range(draw.randint(1, 60))]
    references, answers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    how = {"labels": sorted(set(references)), "average": "macro", "zero_division": 0}
    assert mean(BalancedAccuracy(), " ".join(pairs)) == recall_score(references, answers, **how)
    assert mean(MacroF1(), " ".join(pairs)) == f1_score(references, answers, **how)
