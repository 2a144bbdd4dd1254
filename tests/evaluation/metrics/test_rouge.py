"""ROUGE: as rouge-score's on ASCII text, and of use in any script."""

import pytest
from rouge_score.rouge_scorer import RougeScorer

from fedrouter_sim.evaluation.metrics.metric import Answered
from fedrouter_sim.evaluation.metrics.rouge import Rouge1, Rouge2, RougeL

ASCII_PAIRS = [
    ("Boris Sommer wins science prize.", "Science prize goes to Boris Sommer"),
    ("the cat sat on the mat", "the the the cat"),
    ("Yes", "yes."),
    ("snake_case and CamelCase, 3.14 x-ray's", "snake case camelcase 3 14 xray s"),
    ("a_b __ c", "a b c"),
    ("", "something"),
    ("something", ""),
    ("police kill the gunman", "the gunman kill police"),
]


def rouge(reference: str, answer: str) -> tuple[float, float, float]:
    sample = Answered(reference, answer, labels=False, loss=1.0, tokens=1)
    return Rouge1().measure(sample), Rouge2().measure(sample), RougeL().measure(sample)


@pytest.mark.parametrize(("reference", "answer"), ASCII_PAIRS)
def test_rouge_equals_rouge_scores_default_on_ascii(reference: str, answer: str) -> None:
    expected = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score(reference, answer)
    assert rouge(reference, answer) == tuple(expected[key].fmeasure for key in ("rouge1", "rouge2", "rougeL"))


def test_rouge_by_hand() -> None:
    one, two, longest = rouge("a b c d", "a b d")
    assert one == pytest.approx(2 * 1 * 0.75 / 1.75)  # all 3 of 3, 3 of 4
    assert two == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))  # "a b"
    assert longest == pytest.approx(2 * 1 * 0.75 / 1.75)


@pytest.mark.parametrize("text", ["今天天气 很好", "Größe und Maß", "Привет мир", "مرحبا بالعالم", "नमस्ते दुनिया"])
def test_identical_texts_score_one_in_any_script(text: str) -> None:
    one, _, longest = rouge(text, text)
    assert one == longest == 1.0


SYMBOLS = "< + C++ 👍 👩\u200d👩\u200d👧 -5 3.14 € ½ # ¿? ٣ कि ไทย 1️⃣ 🇩🇪 می\u200cشود".split()


@pytest.mark.parametrize("text", SYMBOLS)
def test_an_answer_that_equals_its_reference_scores_one(text: str) -> None:
    one, _, longest = rouge(text, text)
    assert one == longest == 1.0


@pytest.mark.parametrize(
    ("reference", "answer", "score"),
    [
        ("今天天气很好", "今天天气好", 2 * (5 / 6) * 1 / (5 / 6 + 1)),
        ("สวัสดีครับ", "สวัสดีค่ะ", None),
        ("मैं घर जा रहा हूँ", "मैं घर जा रही हूँ", 0.8),
        ("हिन्दी", "हिन्दु", 0.0),
        ("café", "cafe\u0301", 1.0),
        ("-5", "5", 0.0),
        ("-5", "\u22125", 1.0),
        ("-5", "the answer is -5", 2 * 1 * 0.25 / 1.25),
        ("5", "+5", 0.0),
        ("<", ">", 0.0),
        ("😀", "😢", 0.0),
        ("gut 😀", "gut", 2 * 0.5 * 1 / 1.5),
    ],
)
def test_words_of_other_scripts_and_signs_are_told_apart(reference: str, answer: str, score: float | None) -> None:
    found = rouge(reference, answer)[0]
    assert 0 < found < 1 if score is None else found == pytest.approx(score)


def test_numbers_without_signs_are_cut_as_ever() -> None:
    for reference, answer in (("3.5", "3.4"), ("2024-05-01", "2024-06-01"), ("10-5", "10"), ("7", "the 7")):
        expected = RougeScorer(["rouge1"], use_stemmer=False).score(reference, answer)["rouge1"].fmeasure
        assert rouge(reference, answer)[0] == expected


def test_different_texts_of_another_script_share_what_they_share() -> None:
    assert rouge("今天天气很好", "明天下雨")[0] == pytest.approx(
        2 * (1 / 6) * (1 / 4) / (1 / 6 + 1 / 4)
    )  # one character
    assert rouge("Привет мир", "Доброе утро")[0] == 0.0


def test_the_names_are_those_of_the_files_and_more_is_better() -> None:
    kinds = (Rouge1, Rouge2, RougeL)
    assert [kind.name for kind in kinds] == ["rouge1", "rouge2", "rouge_l"]
    assert [kind.title for kind in kinds] == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]
    assert all(kind.higher_is_better for kind in kinds)
