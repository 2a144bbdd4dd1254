"""Values as texts and labels: the same whatever the format."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.values import ValueRefused, label_of, text_of, with_one_spelling


@pytest.mark.parametrize(
    "value", [None, math.nan, np.float32("nan"), pd.NaT, pd.NA, Decimal("nan"), " \n", b"", "\u3000"]
)
def test_null_and_space_are_the_empty_text(value: Any) -> None:
    assert text_of(value) == label_of(value) == ""


@pytest.mark.parametrize(
    ("value", "text", "label"),
    [
        (" a ", "a", "a"),
        ("é".encode(), "é", "é"),
        (b"\xef\xbb\xbfa", "a", "a"),
        (1, "1", "1"),
        (1.0, "1.0", "1"),
        (np.float32(1), "1.0", "1"),
        (np.int64(7), "7", "7"),
        (10**400, str(10**400), str(10**400)),
        (Decimal("1.0"), "1.0", "1"),
        (-0.0, "-0.0", "0"),
        (0.5, "0.5", "0.5"),
        (1e22, "1e+22", "10000000000000000000000"),
        (math.inf, "inf", "inf"),
        (True, "True", "True"),
        (np.True_, "True", "True"),
        ("1.0", "1.0", "1.0"),
        ("007", "007", "007"),
        ("nan", "nan", "nan"),
    ],
)
def test_a_label_is_the_text_but_for_whole_numbers(value: Any, text: str, label: str) -> None:
    assert (text_of(value), label_of(value)) == (text, label)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["a"], "holds list, not a text"),
        ({"a": 1}, "holds dict, not a text"),
        ((1,), "holds tuple"),
        (np.array([1, 2]), "holds ndarray"),
        (b"\xe9", "bytes that are not UTF-8"),
        ("a\ud83d", "half a character"),
    ],
)
def test_what_is_no_text_is_refused(value: Any, said: str) -> None:
    for convert in (text_of, label_of):
        with pytest.raises(ValueRefused, match=said):
            convert(value)


def test_one_spelling_is_given_to_the_field_that_has_two_and_to_no_other() -> None:
    rows = tuple(Example("a", "b", task, client) for task, client in [("1.0", "1.0"), ("-2.00", "2.0"), ("1", None)])
    found = with_one_spelling(Shares(rows, (), ()), "--data x")
    assert [(e.task, e.client) for e in found.train] == [("1", "1.0"), ("-2", "2.0"), ("1", None)]
    assert found.notes == ("--data x: task '1.0' and '1' are taken for one, as all such numbers",)


@pytest.mark.parametrize("odd", ["1.", ".0", "1.0.0", "a.0", "--1.0", "1.5", "1e0", "²"])
def test_other_texts_with_a_point_stay(odd: str) -> None:
    rows = (Example("a", "b", "1.0"), Example("a", "b", "1"), Example("a", "b", odd))
    assert with_one_spelling(Shares(rows, (), ()), "x").train[2].task == odd
