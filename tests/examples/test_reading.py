"""The reader of the user's files: every text as it stands, and refusals by row and column."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import COUNT, Part, Reading
from fedrouter_sim.examples.record import Columns, Example, tasks_of

ODD = ["NA", "007", "None", "null", "2024-01-01", "12:30", "1e5", "true", 'a "quoted", comma', "two\nlines", "é 中 😀"]
ROWS = [{"instruction": f"say {i}", "response": text, "task": f"t{i % 2}"} for i, text in enumerate(ODD)]


def encode(rows: list[dict[str, Any]], suffix: str) -> bytes:
    """The rows as the bytes of a file of this format."""
    if suffix == ".parquet":
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), buffer)
        return buffer.getvalue()
    if suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue().encode()
    if suffix == ".json":
        return json.dumps(rows, indent=1).encode()
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write(path: Path, content: str | bytes | list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
        content = encode(content, path.suffix)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(path: Path, columns: Columns | None = None) -> str:
    """The one-line message with which the file is refused."""
    with pytest.raises(UserError) as caught:
        Reading(columns or Columns()).file(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_gives_the_texts_as_they_stand(tmp_path: Path, suffix: str) -> None:
    found = Reading().file(write(tmp_path / f"train{suffix}", ROWS))
    assert found == tuple(Example(**row) for row in ROWS)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"train{suffix}", b"\xef\xbb\xbf" + encode(ROWS, suffix))
    assert Reading().file(path)[0] == Example(**ROWS[0])


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("folder", ["my [data]", "a*b", "sp ace", "späße"])
def test_any_folder_name_will_do(tmp_path: Path, folder: str, suffix: str) -> None:
    assert len(Reading().file(write(tmp_path / folder / f"train{suffix}", ROWS))) == len(ROWS)


def test_a_json_file_may_hold_one_object_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", encode(ROWS, ".jsonl"))
    assert Reading().file(path) == tuple(Example(**row) for row in ROWS)


def test_a_column_that_is_all_dates_stays_text(tmp_path: Path) -> None:
    rows = [{"instruction": f"when {i}", "response": f"2024-01-0{i}"} for i in range(1, 4)]
    for suffix in (".jsonl", ".json", ".csv"):
        found = Reading().file(write(tmp_path / f"dates{suffix}", rows))
        assert [example.response for example in found] == ["2024-01-01", "2024-01-02", "2024-01-03"]


def test_numbers_become_texts_one_by_one(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{i}", "response": value} for i, value in enumerate([7, 0.5, "x"])]
    found = Reading().file(write(tmp_path / "train.jsonl", rows))
    assert [example.response for example in found] == ["7", "0.5", "x"]


def test_surrounding_space_is_dropped_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train.jsonl", '{"instruction": " a ", "response": "b\\n"}\n\n{"instruction": "c", "response": "d"}'
    )
    assert Reading().file(path) == (Example("a", "b"), Example("c", "d"))


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    rows = [{"q": "ask", "a": "tell", "kind": "chat", "instruction": "other"}]
    path = write(tmp_path / "train.csv", rows)
    assert Reading(Columns(("q",), "a", "kind")).file(path) == (Example("ask", "tell", "chat"),)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_missing_column_is_refused_with_those_there_are_and_the_flag(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"train{suffix}", [{"instruction": "a", "output": "b"}])
    message = refusal(path)
    assert "'response'" in message and "instruction, output" in message and "--response-column" in message
    assert "--instruction-column" in refusal(path, Columns(instruction=("prompt",), response="output"))
    assert "--task-column" in refusal(path, Columns(response="output", task="kind"))


def test_a_task_column_by_the_default_name_may_be_absent(tmp_path: Path) -> None:
    found = Reading().file(write(tmp_path / "train.jsonl", [{"instruction": "a", "response": "b"}]))
    assert found == (Example("a", "b", None),)
    assert tasks_of(found) == []


@pytest.mark.parametrize("value", ["", "  \n", None])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_an_empty_response_is_refused_by_row_and_column(tmp_path: Path, suffix: str, value: str | None) -> None:
    path = write(tmp_path / f"train{suffix}", [ROWS[0], {**ROWS[1], "response": value}])
    message = refusal(path)
    assert "row 2" in message and "'response'" in message and "empty" in message


def test_a_row_without_the_column_is_refused_by_row(tmp_path: Path) -> None:
    assert "row 1" in refusal(write(tmp_path / "train.jsonl", [{"instruction": "a"}, ROWS[0]]))


@pytest.mark.parametrize("value", [["a"], {"a": 1}])
def test_a_list_or_object_for_a_text_is_refused_by_row(tmp_path: Path, value: object) -> None:
    message = refusal(write(tmp_path / "train.jsonl", [ROWS[0], {**ROWS[1], "instruction": value}]))
    assert "row 2" in message and "'instruction'" in message and "not a text" in message


@pytest.mark.parametrize("line", ["{broken", "[1, 2]", '"text"', "7"])
def test_a_broken_line_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "train.jsonl", encode(ROWS[:2], ".jsonl").decode() + "\n" + line + "\n{worse\n")
    assert "line 4" in refusal(path)


def test_half_a_character_is_refused_by_row(tmp_path: Path) -> None:
    assert "row 1" in refusal(write(tmp_path / "train.jsonl", '{"instruction": "\\ud800", "response": "b"}'))


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    assert "empty" in refusal(write(tmp_path / f"train{suffix}", b""))


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", "\n\n"), ("a.json", "[]"), ("a.csv", "instruction,response\n")])
def test_a_file_without_rows_is_refused(tmp_path: Path, name: str, text: str) -> None:
    assert "no rows" in refusal(write(tmp_path / name, text))


@pytest.mark.parametrize("name", ["a.json", "a.csv", "a.parquet"])
def test_what_is_not_of_its_format_is_one_line_and_nothing_on_standard_error(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    refusal(write(tmp_path / name, b"[\xff\xfe\n{]"))
    assert capfd.readouterr().err == ""


def test_a_csv_row_with_too_many_fields_is_refused_by_line(tmp_path: Path) -> None:
    assert "line 3" in refusal(write(tmp_path / "a.csv", "instruction,response\na,b\na,b,c\n"))


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "train.txt", "x"))
    assert "'.txt'" in message and ".jsonl, .json, .csv, .tsv, .parquet" in message


def test_a_client_column_is_read_by_its_default_name_or_another(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"instruction": "a", "response": "b", "client": 7, "user": " u "}])
    assert Reading().file(path) == (Example("a", "b", None, "7"),)
    assert Reading(Columns(client="user")).file(path) == (Example("a", "b", None, "u"),)
    assert Reading(Columns(task="user", client="user")).file(path) == (Example("a", "b", "u", "u"),)


@pytest.mark.parametrize("value", ["", None, ["x"]])
def test_a_column_named_client_by_chance_that_does_not_fill_every_row_is_left_alone(tmp_path: Path, value: Any) -> None:
    rows = [
        {"instruction": "a", "response": "b", "client": "x"},
        {"instruction": "c", "response": "d", "client": value},
    ]
    assert Reading().file(write(tmp_path / "a.jsonl", rows)) == (Example("a", "b"), Example("c", "d"))
    rows = [{"user" if key == "client" else key: v for key, v in row.items()} for row in rows]
    assert "row 2" in refusal(write(tmp_path / "b.jsonl", rows), Columns(client="user"))


def test_a_missing_client_column_is_refused_by_its_flag_unless_it_has_the_default_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"instruction": "a", "response": "b"}])
    assert Reading().file(path) == (Example("a", "b"),)
    assert "--client-column" in refusal(path, Columns(client="user"))


def test_equal_labels_are_one_object_in_memory(tmp_path: Path) -> None:
    rows = [{"instruction": f"a{i}", "response": "b", "task": "the task", "client": "the client"} for i in range(3)]
    found = Reading().file(write(tmp_path / "a.jsonl", rows))
    assert len({id(example.task) for example in found}) == len({id(example.client) for example in found}) == 1


@pytest.mark.parametrize(
    "line", ['{"instruction": "a", "response": "b"} {"instruction": "c", "response": "d"}', '{"a": 1}x']
)
def test_more_than_an_object_in_a_line_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    assert "line 1" in refusal(write(tmp_path / "a.jsonl", line + "\n"))


def test_columns_are_listed_in_the_order_in_which_rows_bring_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"b": 1}, {"a": 1, "b": 2}, {"c": 1}])
    assert "it has b, a, c:" in refusal(path)


BAD = [{**ROWS[0], "response": None}, ROWS[1], {**ROWS[2], "instruction": ["x"]}]


def test_rows_that_cannot_be_used_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [ROWS[0], *BAD])
    assert refusal(path) == (
        f"--data {path}: 2 of 4 rows cannot be used; the first is row 2: column 'response' is empty; correct them, or "
        "leave them out with --on-bad-row skip"
    )


def test_rows_that_cannot_be_used_are_left_out_on_request_with_a_note(tmp_path: Path) -> None:
    path, reading = write(tmp_path / "a.jsonl", [ROWS[0], *BAD]), Reading(on_bad_row="skip")
    assert reading.file(path) == (Example(**ROWS[0]), Example(**ROWS[1]))
    assert reading.notes == [
        f"--data {path}: left out 2 of 4 rows that cannot be used (the first: row 2, column 'response' is empty)"
    ]
    with pytest.raises(UserError, match="none of 2 rows can be used"):
        Reading(on_bad_row="skip").file(write(tmp_path / "b.jsonl", BAD[::2]))


def test_a_look_counts_rows_that_cannot_be_used_and_says_nothing(tmp_path: Path) -> None:
    path, reading = write(tmp_path / "a.jsonl", [ROWS[0], *BAD]), Reading(on_bad_row=COUNT)
    assert reading.file(path) == (Example(**ROWS[0]), Example(**ROWS[1]))
    flaws = ((2, "column 'response' is empty"), (4, "column 'instruction' holds list, not a text"))
    assert reading.parts == [Part(str(path), 4, 2, ("instruction", "response", "task"), flaws)]
    assert reading.notes == []
    with pytest.raises(UserError, match="none of 2 rows can be used"):
        Reading(on_bad_row=COUNT).file(write(tmp_path / "b.jsonl", BAD[::2]))


def test_a_note_is_kept_once(tmp_path: Path) -> None:
    reading = Reading(data="mine")
    paths = [write(tmp_path / f"{name}.jsonl", [{**ROWS[0], "id": 1}]) for name in "ab"]
    assert len(reading.files(paths)) == 2
    assert reading.notes == ["--data mine: columns not read: id"]
