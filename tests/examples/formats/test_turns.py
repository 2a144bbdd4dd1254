"""Turns, as the common data sets write them."""

import json
from typing import Any

import pytest

from fedrouter_sim.examples.formats.turns import holds_turns, turns_of, with_system
from fedrouter_sim.examples.record import Turn
from fedrouter_sim.examples.values import ValueRefused

ASKED, TOLD = Turn("user", "who?"), Turn("assistant", "me")
OPENAI = [{"role": "user", "content": "who?"}, {"role": "assistant", "content": " me "}]
SHAREGPT = [{"from": "human", "value": "who?"}, {"from": "gpt", "value": "me"}]


@pytest.mark.parametrize(
    "value",
    [
        OPENAI,
        SHAREGPT,
        tuple(SHAREGPT),
        json.dumps(OPENAI),  # in a CSV file
        {"role": ["user", "assistant"], "content": ["who?", "me"]},  # as `datasets` writes a list of objects
        [{"role": "User", "content": "who?"}, {"role": "ASSISTANT", "content": "me"}],
        [{"role": "user", "content": [{"type": "text", "text": "who?"}]}, OPENAI[1]],
        [{"role": "user", "content": b"who?"}, OPENAI[1] | {"tool_calls": None}],
    ],
    ids=range(8),
)
def test_the_forms_of_a_conversation_are_one(value: Any) -> None:
    assert turns_of(value) == (ASKED, TOLD)


@pytest.mark.parametrize(
    ("role", "becomes"), [("prompter", "user"), ("bot", "assistant"), ("AI", "assistant"), ("Tool", "tool")]
)
def test_roles_get_the_names_that_chat_templates_know(role: str, becomes: str) -> None:
    assert turns_of([{"from": role, "value": "x"}]) == (Turn(becomes, "x"),)


def test_parts_of_a_turn_are_lines() -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert turns_of([{"role": "user", "content": parts}]) == (Turn("user", "one\ntwo"),)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "holds no list of turns"),
        (float("nan"), "holds no list of turns"),
        ("who?", "holds no list of turns"),
        (7, "holds no list of turns"),
        ("[{", r"holds a text that is not JSON \(.*\)"),
        ("[" * 100_000, r"holds a text that is not JSON \(.*\)"),
        (
            '[{"role": "user", "content": "a", "content": "b"}]',
            r"holds a text that is not JSON \(names 'content' twice\)",
        ),
        (OPENAI[0], "holds an object, not a list of turns"),
        ({"role": ["user", "assistant"], "content": ["a"]}, "holds an object, not a list of turns"),
        ([OPENAI[0], OPENAI[1] | {"tool_calls": [{"id": 1}]}], "has a turn 2 that calls tools, which are not read"),
        (["who?"], "has a turn 1 without role and content"),
        ([*OPENAI, {"text": "x"}], "has a turn 3 without role and content"),
        ([OPENAI[0], {"role": "assistant", "content": None}], "has a turn 2 without text"),
        ([OPENAI[0], {"role": "assistant"}], "has a turn 2 without text"),
        ([{"role": None, "content": "x"}], "has a turn 1 without role"),
        ([{"role": "user", "content": "\ud800"}], "has a turn 1 that holds half a character"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "has a turn 1 that holds 'image_url', which is not"),
        ([{"role": "user", "content": ["x"]}], "has a turn 1 that holds 'str', which is not a text"),
    ],
)
def test_what_is_no_conversation_is_said(value: Any, said: str) -> None:
    with pytest.raises(ValueRefused, match=said):
        turns_of(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (OPENAI, True),
        (json.dumps(SHAREGPT), True),
        ("who?", False),
        ('[{"a": 1}] is a list', False),
        ('[{"a": 1}]', False),  # a text about JSON
        ("[]", False),
        ("[" * 100_000, False),
        (None, False),
    ],
    ids=range(8),
)
def test_turns_are_told_from_texts(value: Any, expected: bool) -> None:
    assert holds_turns(value) == expected


def test_what_a_system_says_twice_is_said_once() -> None:
    system = Turn("system", "rules")
    assert with_system((ASKED,), "") == (ASKED,)
    assert with_system((system, ASKED), "rules") == with_system((ASKED,), "rules") == (system, ASKED)
