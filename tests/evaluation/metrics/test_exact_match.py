"""Exact match: for tasks whose answers are labels."""

from fedrouter_sim.evaluation.metrics.exact_match import ExactMatch
from fedrouter_sim.evaluation.metrics.metric import Answered


def exact_match(reference: str, answer: str, labels: bool = True) -> float | None:
    return ExactMatch().measure(Answered(reference, answer, labels, loss=1.0, tokens=1))


def test_exact_match_forgives_case_and_surrounding_space_only() -> None:
    assert exact_match("Yes", " yes\n") == 1
    assert exact_match("STRASSE", "straße") == 1
    assert exact_match("Yes", "Yes.") == 0
    assert exact_match("not entailed", "notentailed") == 0


def test_where_answers_are_no_labels_there_is_no_exact_match() -> None:
    assert exact_match("Yes", "Yes", labels=False) is None
    samples = [Answered("a", "a", labels, 1.0, 1) for labels in (True, False, True)]
    assert ExactMatch().mean(samples, [1.0, None, 0.0]) == 0.5  # over those that have one
    assert ExactMatch().mean(samples, [None, None, None]) is None
