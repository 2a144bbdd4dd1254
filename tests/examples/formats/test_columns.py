"""Instruction columns: which are read, how several make one text, and what is said of the others."""

from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.formats.columns import InColumns
from fedrouter_sim.examples.record import Columns, Example
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw


def rows_of(columns: Columns, *rows: dict[str, Any]) -> Rows:
    return Rows.collect(rows, InColumns().wanted(columns))


def read(columns: Columns, *rows: dict[str, Any]) -> list[str]:
    """The instructions, or what is wrong with a row."""
    found = InColumns().examples(rows_of(columns, *rows), columns, "x")
    return [one.said if isinstance(one, Flaw) else one.instruction for one in found]


def notes(columns: Columns, *rows: dict[str, Any]) -> list[str]:
    return InColumns().notes(rows_of(columns, *rows), columns)


ALPACA = {"instruction": "Add", "input": "1 and 2", "response": "3"}


def test_by_default_what_belongs_to_the_instruction_is_read_with_it_in_order_and_a_note_says_so() -> None:
    full = {"context": "C", "input": "I", "system": "S", "instruction": "T", "response": "r", "id": 7}
    assert read(Columns(), full, {**full, "input": " ", "context": None}) == ["S\n\nT\n\nC\n\nI", "S\n\nT"]
    assert notes(Columns(), full) == [
        "the instruction is made of the columns system, instruction, context, input; --instruction-column chooses",
        "columns not read: id",
    ]


def test_what_belongs_to_the_instruction_but_is_empty_or_no_text_is_not_read() -> None:
    assert read(Columns(), {**ALPACA, "input": ""}, {**ALPACA, "input": None}) == ["Add", "Add"]
    assert notes(Columns(), {**ALPACA, "input": ""}) == []
    assert read(Columns(), {**ALPACA, "context": [1]}, ALPACA) == ["Add\n\n1 and 2"] * 2
    assert "columns not read: context" in notes(Columns(), {**ALPACA, "context": [1]}, ALPACA)


def test_columns_that_are_named_are_the_only_ones_read_and_a_note_says_so() -> None:
    assert read(Columns(("instruction",)), ALPACA) == ["Add"]
    assert notes(Columns(("instruction",)), {"a": 1, **ALPACA}) == ["columns not read: input, a"]
    assert read(Columns(("input", "instruction")), ALPACA) == ["1 and 2\n\nAdd"]
    assert read(Columns(response="input"), ALPACA) == ["Add"]
    one: Any = "input"
    assert Columns(one) == Columns(("input",))


def test_of_several_columns_any_may_be_empty_but_not_all() -> None:
    columns = Columns(("a", "b"))
    assert read(columns, {"a": "", "b": "x", "response": "r"}) == ["x"]
    assert read(columns, {"a": None, "b": " ", "response": "r"}) == ["columns 'a', 'b' are empty"]
    assert read(columns, {"a": "x", "b": [1], "response": "r"}) == ["column 'b' holds list, not a text"]


def test_at_most_five_unread_columns_are_named() -> None:
    row = {"instruction": "a", "response": "b", "": 0, **dict.fromkeys("cdefg", 1)}
    assert notes(Columns(), row) == ["columns not read: (no name), c, d, e, f and 1 more"]


def test_a_client_column_that_does_not_fill_every_row_is_noted() -> None:
    row = {"instruction": "a", "response": "b"}
    assert notes(Columns(), {**row, "client": 1}, {**row, "client": float("nan")}) == [
        "column 'client' does not fill every row, so that no row has a client"
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("instruction output", "did you mean --response-column output?"),
        ("instruction completion input", "did you mean --response-column completion?"),
        ("instruction answer target", "name it with --response-column"),
        ("question response", "did you mean --instruction-column question?"),
        ("prompt text response", "name it with --instruction-column"),
    ],
)
def test_a_likely_column_is_named_where_the_default_is_absent(names: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read(Columns(), dict.fromkeys(names.split(), "x"))
    assert str(caught.value).endswith(said)


def test_numbers_stay_what_they_are_in_texts_and_are_whole_in_labels() -> None:
    rows = rows_of(Columns(), {"instruction": 3.0, "response": 1, "task": 2.0, "client": 4.0})
    assert InColumns().examples(rows, Columns(), "x") == [Example("3.0", "1", "2", "4")]


def test_a_row_with_a_bad_label_is_a_flaw(tmp_path: Path) -> None:
    rows = rows_of(Columns(), {"instruction": "a", "response": "b", "task": None})
    assert InColumns().examples(rows, Columns(), "x") == [Flaw("column 'task' is empty")]
