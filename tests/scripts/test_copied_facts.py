"""The share of facts that come from the right input."""

import copied_facts


def test_recall_counts_the_references_facts_and_precision_the_answers():
    answer = {
        "instruction": "Mara Feld -> home -> Oslo; Mara Feld -> birth year -> 1999",
        "reference": "Mara Feld lives in Oslo and was born in 1999.",
        "answer": "Mara Feld lives in Bergen and was born in 1999.",
    }
    recall, precision, count = copied_facts.shares([answer])
    assert (recall, count) == (3 / 4, 4)  # Mara, Feld, 1999 of Mara, Feld, Oslo, 1999
    assert precision == 2 / 3  # Feld and 1999, not Bergen; Mara begins the sentence


def test_words_that_the_instruction_lacks_are_no_facts():
    assert copied_facts.facts("Council opens Bridge", "the council will open a Bridge") == {"Bridge": 1}
