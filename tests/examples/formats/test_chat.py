"""Conversations, and pairs of prompt and completion, as examples; and which form rows are taken for."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.formats import find_row_format
from fedrouter_sim.examples.formats.row_format import Found
from fedrouter_sim.examples.reading import Reading, split_by_seed
from fedrouter_sim.examples.record import Columns, Example, Turn
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.sources import load_shares
from fedrouter_sim.examples.values import Flaw


def turn(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


TALK = [turn("system", "rules"), turn("user", "a"), turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")]
SYSTEM, A, B, C = (Turn(one["role"], one["content"]) for one in TALK[:4])


def read(name: str, *rows: dict[str, Any], columns: Columns | None = None) -> Sequence[Found]:
    columns = columns or Columns()
    form = find_row_format(name)
    return form.examples(Rows.collect(rows, form.wanted(columns)), columns, "x")


def notes(name: str, *rows: dict[str, Any], columns: Columns | None = None) -> list[str]:
    columns = columns or Columns()
    form = find_row_format(name)
    return form.notes(Rows.collect(rows, form.wanted(columns)), columns)


@pytest.mark.parametrize("column", ["messages", "conversations", "conversation"])
def test_the_last_answer_is_the_response_and_all_before_it_the_instruction(column: str) -> None:
    [found] = read("chat", {column: TALK, "task": 1.0, "client": "k"})
    assert found == Example.of_turns((SYSTEM, A, B, C), "d", "1", "k")


def test_every_answer_may_be_that_of_an_example() -> None:
    [found] = read("chat-each", {"messages": TALK})
    assert found == (Example.of_turns((SYSTEM, A), "b"), Example.of_turns((SYSTEM, A, B, C), "d"))


def test_what_follows_the_last_answer_and_answers_to_nobody_are_no_examples() -> None:
    rows = [{"messages": TALK[:4]}, {"messages": [turn("assistant", "hi"), *TALK[1:3]]}]
    [one, two] = read("chat-each", *rows)
    assert one == (Example.of_turns((SYSTEM, A), "b"),)
    assert two == (Example.of_turns((Turn("assistant", "hi"), A), "b"),)


def test_a_question_and_an_answer_are_a_plain_example() -> None:
    assert read("chat", {"messages": TALK[1:3]}) == [Example("a", "b")]


def test_a_column_of_the_system_comes_before_what_a_turn_says() -> None:
    [one, two, three] = read(
        "chat",
        {"conversations": TALK[1:3], "system": "be brief"},
        {"conversations": TALK[:3], "system": "be brief"},
        {"conversations": TALK[1:3], "system": None},
    )
    assert one == Example.of_turns((Turn("system", "be brief"), A), "b")
    assert two == Example.of_turns((Turn("system", "be brief\n\nrules"), A), "b")
    assert three == Example("a", "b")


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "column 'messages' holds no answer of the assistant to a user (turns of: none)"),
        (TALK[:2], "column 'messages' holds no answer of the assistant to a user (turns of: system, user)"),
        (
            [turn("assistant", "hi")],
            "column 'messages' holds no answer of the assistant to a user (turns of: assistant)",
        ),
        ([turn("user", "")], "column 'messages' has a turn 1 without text"),
        ("x", "column 'messages' holds no list of turns"),
    ],
)
def test_a_conversation_without_an_answer_is_a_flaw(messages: Any, said: str) -> None:
    for name in ("chat", "chat-each"):
        assert read(name, {"messages": messages}, {"messages": TALK})[0] == Flaw(said)


def test_labels_that_cannot_be_read_are_flaws() -> None:
    rows = [{"messages": TALK, "task": None}, {"messages": TALK, "task": "t"}]
    assert read("chat", *rows)[0] == Flaw("column 'task' is empty")


def test_a_column_of_responses_is_not_read_beside_turns() -> None:
    with pytest.raises(UserError, match="--response-column b: --format chat takes the response from the turns"):
        read("chat", {"messages": TALK}, columns=Columns(response="b"))


def test_another_column_of_turns_is_named_as_that_of_the_instruction() -> None:
    columns = Columns(("talk",))
    assert read("chat", {"talk": TALK[1:3], "messages": TALK}, columns=columns) == [Example("a", "b")]
    with pytest.raises(UserError, match=r"x: no column 'talk'; it has messages: name .* --instruction-column"):
        read("chat", {"messages": TALK}, columns=columns)


@pytest.mark.parametrize(
    ("prompt", "completion", "expected"),
    [
        ("a", "b", Example("a", "b")),
        ([turn("user", "a")], [turn("assistant", "b")], Example("a", "b")),
        (TALK[:4], [TALK[4]], Example.of_turns((SYSTEM, A, B, C), "d")),
        (TALK[:2], "b", Example.of_turns((SYSTEM, A), "b")),
        ("a", TALK[2:5], Example.of_turns((A, B, C), "d")),
        ("", "b", Flaw("column 'prompt' is empty")),
        ("a", None, Flaw("column 'completion' is empty")),
        ("a", [turn("user", "b")], Flaw("column 'completion' does not end with the assistant's answer")),
        ([], "b", Flaw("column 'prompt' is empty")),
        (json.dumps(TALK[:4]), json.dumps([TALK[4]]), Example.of_turns((SYSTEM, A, B, C), "d")),  # in a CSV file
        ("[a] list", "[b]", Example("[a] list", "[b]")),
        ([{"x": 1}], "b", Flaw("column 'prompt' has a turn 1 without role and content")),
    ],
    ids=range(12),
)
def test_pairs(prompt: Any, completion: Any, expected: Found) -> None:
    assert read("pairs", {"prompt": prompt, "completion": completion}) == [expected]


def test_pairs_need_both_columns() -> None:
    with pytest.raises(UserError, match="x: no column 'completion'; it has prompt: give another --format"):
        read("pairs", {"prompt": "a"})


@pytest.mark.parametrize(
    ("row", "columns", "form"),
    [
        ({"instruction": "a", "response": "b", "messages": TALK}, None, "columns"),
        ({"messages": TALK, "source": "s"}, None, "chat"),
        ({"conversations": TALK}, None, "chat"),
        ({"messages": "a", "response": "b"}, Columns(("messages",)), "columns"),
        ({"prompt": "a", "completion": "b"}, None, "pairs"),
        ({"prompt": "a", "completion": "b", "response": "c"}, Columns(("prompt",)), "columns"),
        ({"prompt": "a", "completion": "b"}, Columns(("prompt",), "completion"), "columns"),
    ],
    ids=range(7),
)
def test_the_form_is_that_of_the_columns(row: dict[str, Any], columns: Columns | None, form: str) -> None:
    assert read("auto", row, columns=columns) == read(form, row, columns=columns)
    said = [] if form == "columns" else [f"rows are read as --format {form}"]
    assert notes("auto", row, columns=columns) == said + notes(form, row, columns=columns)


def test_without_columns_of_any_form_the_instruction_is_missed() -> None:
    with pytest.raises(UserError, match=r"no column 'instruction'; it has prompt, text: name it with"):
        read("auto", {"prompt": "a", "text": "b"})


@pytest.mark.parametrize("seed", range(3))
def test_conversations_that_begin_alike_stay_in_one_share(seed: int) -> None:
    talks = [[SYSTEM, Turn("user", f"q{i}"), B, C] for i in range(30)]
    examples = [Example.of_turns(talk[:n], f"{n}") for talk in talks for n in (2, 4)]
    shares = split_by_seed("x", examples, seed)
    for part in (shares.train, shares.validation, shares.test):
        assert part and len({example.turns[1] for example in part}) * 2 == len(part)


def test_a_file_of_conversations_is_read(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    rows = [{"messages": [turn("user", f"q{i}"), turn("assistant", "x"), *TALK[1:3]]} for i in range(9)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"messages": []}]), encoding="utf-8")
    with pytest.raises(UserError, match=r"1 of 10 rows cannot be used; the first is row 10: column 'messages' holds"):
        load_shares(str(path), Reading())
    for form, count in (("auto", 9), ("chat-each", 18)):
        shares = load_shares(str(path), Reading(format=form, on_bad_row="skip"))
        assert len(shares.train) + len(shares.validation) + len(shares.test) == count
        assert any("left out 1 of 10 rows" in note for note in shares.notes)
