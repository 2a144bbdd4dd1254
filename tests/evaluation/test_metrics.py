"""Scores of answers and of clusterings."""

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from fedrouter_sim.evaluation.metrics import answers_are_labels, clustering_agreement, exact_match, mean, rouge

ASCII_PAIRS = [
    ("Boris Sommer wins science prize.", "Science prize goes to Boris Sommer"),
    ("the cat sat on the mat", "the the the cat"),
    ("Yes", "yes."),
    ("snake_case and CamelCase, 3.14 x-ray's", "snake case camelcase 3 14 xray s"),
    ("a_b __ c", "a b c"),
    ("", "something"),
    ("something", ""),
    ("!?", "!?"),
    ("police kill the gunman", "the gunman kill police"),
]


@pytest.mark.parametrize(("reference", "answer"), ASCII_PAIRS)
def test_rouge_equals_rouge_scores_default_on_ascii(reference: str, answer: str) -> None:
    expected = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score(reference, answer)
    found = rouge(reference, answer)
    assert found.rouge1 == expected["rouge1"].fmeasure
    assert found.rouge2 == expected["rouge2"].fmeasure
    assert found.rouge_l == expected["rougeL"].fmeasure


def test_rouge_by_hand() -> None:
    found = rouge("a b c d", "a b d")
    assert found.rouge1 == pytest.approx(2 * 1 * 0.75 / 1.75)  # all 3 of 3, 3 of 4
    assert found.rouge2 == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))  # "a b"
    assert found.rouge_l == pytest.approx(2 * 1 * 0.75 / 1.75)


@pytest.mark.parametrize("text", ["今天天气 很好", "Größe und Maß", "Привет мир", "مرحبا بالعالم", "नमस्ते दुनिया"])
def test_identical_texts_score_one_in_any_script(text: str) -> None:
    assert rouge(text, text).rouge1 == rouge(text, text).rouge_l == 1.0


def test_different_texts_of_another_script_score_zero() -> None:
    assert rouge("今天天气很好", "明天下雨").rouge1 == 0.0


def test_exact_match_forgives_case_and_surrounding_space_only() -> None:
    assert exact_match("Yes", " yes\n")
    assert exact_match("STRASSE", "straße")
    assert not exact_match("Yes", "Yes.")
    assert not exact_match("not entailed", "notentailed")


def test_few_different_references_given_often_are_labels() -> None:
    assert answers_are_labels(["Yes", "No"] * 5)
    assert not answers_are_labels(["Yes", "No"] * 4)
    assert answers_are_labels([str(i % 10) for i in range(50)])
    assert not answers_are_labels([str(i % 11) for i in range(500)])


def test_the_mean_of_nothing_is_none() -> None:
    assert mean([]) is None
    assert mean(iter([1.0, 2.0, 6.0])) == 3.0


def test_agreement_of_a_perfect_clustering_is_one_whatever_its_numbering() -> None:
    ari, nmi = clustering_agreement([{"b": 10}, {}, {"a": 7}])
    assert (ari, nmi) == (pytest.approx(1), pytest.approx(1))


def test_agreement_of_one_cluster_over_two_labels_is_zero() -> None:
    ari, nmi = clustering_agreement([{"a": 20, "b": 20}])
    assert (ari, nmi) == (pytest.approx(0), pytest.approx(0))


def test_agreement_equals_sklearns_on_the_members() -> None:
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 4, 200), np.array(list("abc"))[rng.integers(0, 3, 200)]
    tables = [{str(a): int(((clusters == c) & (labels == a)).sum()) for a in "abc"} for c in range(4)]
    expected = adjusted_rand_score(labels, clusters), normalized_mutual_info_score(labels, clusters)
    assert clustering_agreement(tables) == pytest.approx(expected)
