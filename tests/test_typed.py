"""Values of JSON as types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from fedrouter_sim.typed import Count, Misfit, Name, Share, fitted, taken


@dataclass(frozen=True)
class Part:
    """What a record holds."""

    name: Name
    count: Count = 0
    shares: tuple[Share, ...] = ()


@pytest.mark.parametrize(
    ("kind", "value", "is_then"),
    [
        (int, 3, 3),
        (float, 3, 3),
        (int | str, "x", "x"),
        (str | None, None, None),
        (Mapping[int, list[Count]], {"3": [1]}, {3: [1]}),
        (Literal["a", "b"], "b", "b"),
        (tuple[Part, ...], [{"name": "x-1", "shares": [-1, 0.5]}], (Part("x-1", 0, (-1, 0.5)),)),
        (Any, [None], [None]),
    ],
)
def test_what_fits_is_taken(kind: Any, value: Any, is_then: Any) -> None:
    assert fitted(kind, value, "it") == is_then


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (int, True, "it must be a whole number, not true or false"),
        (int, 1.0, "it must be a whole number, not a number"),
        (float, "1", "it must be a number, not a text"),
        (Count, -1, "it must be at least 0"),
        (Mapping[int, str], {"-1": "a"}, "a key of it must be a whole number"),
        (Mapping[int, str], {"9" * 30: "a"}, "a key of it must be a whole number"),
        (Mapping[str, Count], {"a": None}, "it.a must be a whole number, not null"),
        (list[str], "ab", "it must be a list, not a text"),
        (list[int], [1, []], r"it\[1\] must be a whole number, not a list"),
        (Literal["a"], "secret", "it must be one of a$"),
        (Part, {}, "it lacks name"),
        (Part, {"name": "../planted"}, "it.name must be of letters, digits, _ and -"),
        (Part, {"name": "x", "more": 1}, "it has a key 'more', which nothing is known of"),
        (Part, {"name": "x", "shares": [2]}, r"it.shares\[0\] must be at most 1"),
        (Part, [], "it must be an object, not a list"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_place_and_not_repeated(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(Misfit, match=said) as refused:
        fitted(kind, value, "it")
    assert "secret" not in str(refused.value)


def test_a_missing_key_is_refused_unless_there_is_a_default() -> None:
    assert taken({}, "a", int, 7) == 7
    with pytest.raises(Misfit, match="it lacks a"):
        taken({}, "a", int)
