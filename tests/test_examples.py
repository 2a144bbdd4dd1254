"""Examples: the template, and the loader of the embedded data and of the user's files."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples import (
    TEMPLATES,
    Columns,
    Example,
    Shares,
    load_shares,
    load_test,
    read_examples,
    render_prompt,
    tasks_of,
)

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
        read_examples(path, columns or Columns())
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_every_format_gives_the_texts_as_they_stand(tmp_path: Path, suffix: str) -> None:
    found = read_examples(write(tmp_path / f"train{suffix}", ROWS), Columns())
    assert found == tuple(Example(**row) for row in ROWS)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"train{suffix}", b"\xef\xbb\xbf" + encode(ROWS, suffix))
    assert read_examples(path, Columns())[0] == Example(**ROWS[0])


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("folder", ["my [data]", "a*b", "sp ace", "späße"])
def test_any_folder_name_will_do(tmp_path: Path, folder: str, suffix: str) -> None:
    assert len(read_examples(write(tmp_path / folder / f"train{suffix}", ROWS), Columns())) == len(ROWS)


def test_a_json_file_may_hold_one_object_a_line(tmp_path: Path) -> None:
    path = write(tmp_path / "train.json", encode(ROWS, ".jsonl"))
    assert read_examples(path, Columns()) == tuple(Example(**row) for row in ROWS)


def test_a_column_that_is_all_dates_stays_text(tmp_path: Path) -> None:
    rows = [{"instruction": f"when {i}", "response": f"2024-01-0{i}"} for i in range(1, 4)]
    for suffix in (".jsonl", ".json", ".csv"):
        found = read_examples(write(tmp_path / f"dates{suffix}", rows), Columns())
        assert [example.response for example in found] == ["2024-01-01", "2024-01-02", "2024-01-03"]


def test_numbers_become_texts_one_by_one(tmp_path: Path) -> None:
    rows = [{"instruction": f"q{i}", "response": value} for i, value in enumerate([7, 0.5, "x"])]
    found = read_examples(write(tmp_path / "train.jsonl", rows), Columns())
    assert [example.response for example in found] == ["7", "0.5", "x"]


def test_surrounding_space_is_dropped_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    path = write(
        tmp_path / "train.jsonl", '{"instruction": " a ", "response": "b\\n"}\n\n{"instruction": "c", "response": "d"}'
    )
    assert read_examples(path, Columns()) == (Example("a", "b"), Example("c", "d"))


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    rows = [{"q": "ask", "a": "tell", "kind": "chat", "instruction": "other"}]
    path = write(tmp_path / "train.csv", rows)
    assert read_examples(path, Columns("q", "a", "kind")) == (Example("ask", "tell", "chat"),)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
def test_a_missing_column_is_refused_with_those_there_are_and_the_flag(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"train{suffix}", [{"instruction": "a", "output": "b"}])
    message = refusal(path)
    assert "'response'" in message and "instruction, output" in message and "--response-column" in message
    assert "--instruction-column" in refusal(path, Columns(instruction="prompt", response="output"))
    assert "--task-column" in refusal(path, Columns(response="output", task="kind"))


def test_a_task_column_by_the_default_name_may_be_absent(tmp_path: Path) -> None:
    found = read_examples(write(tmp_path / "train.jsonl", [{"instruction": "a", "response": "b"}]), Columns())
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
    assert "'.txt'" in message and ".jsonl, .json, .csv, .parquet" in message


def test_a_folders_shares_are_its_files(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS[:4])
    write(tmp_path / "valid.json", ROWS[4:5])
    write(tmp_path / "test.csv", ROWS[5:7])
    shares = load_shares(str(tmp_path), Columns(), seed=0)
    assert [len(shares.train), len(shares.validation), len(shares.test)] == [4, 1, 2]
    assert load_test(str(tmp_path), Columns()) == shares.test


def test_a_folder_needs_no_validation_file(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS[:4])
    write(tmp_path / "test.jsonl", ROWS[4:])
    assert load_shares(str(tmp_path), Columns(), seed=0).validation == ()


@pytest.mark.parametrize("absent", ["train", "test"])
def test_a_folder_without_train_or_test_file_is_refused(tmp_path: Path, absent: str) -> None:
    write(tmp_path / f"{'test' if absent == 'train' else 'train'}.jsonl", ROWS)
    with pytest.raises(UserError, match=f"no {absent} file"):
        load_shares(str(tmp_path), Columns(), seed=0)


def test_two_files_of_one_share_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("train.jsonl", "train.csv", "test.jsonl"):
        write(tmp_path / name, ROWS)
    with pytest.raises(UserError, match=r"both train\.jsonl and train\.csv"):
        load_shares(str(tmp_path), Columns(), seed=0)


def test_a_path_that_is_not_there_is_refused_with_what_would_do(tmp_path: Path) -> None:
    for load in (lambda: load_shares(str(tmp_path / "x"), Columns(), 0), lambda: load_test("no/such", Columns())):
        with pytest.raises(UserError, match=r"no such file or folder; give .*multitask"):
            load()


def split_file(tmp_path: Path, different: int, seed: int) -> Shares:
    """The shares of one file in which every instruction comes twice."""
    rows = [{"instruction": f"ask {i % different}", "response": f"r{i}"} for i in range(2 * different)]
    return load_shares(str(write(tmp_path / "all.jsonl", rows)), Columns(), seed)


@pytest.mark.parametrize("different", [3, 10, 57])
def test_one_file_is_split_80_10_10_and_disjoint_by_instruction(tmp_path: Path, different: int) -> None:
    shares = split_file(tmp_path, different, seed=5)
    parts = [{example.instruction for example in part} for part in (shares.train, shares.validation, shares.test)]
    held = max(1, different // 10)
    assert [len(part) for part in parts] == [different - 2 * held, held, held]
    assert len(set().union(*parts)) == different
    assert len(shares.train) + len(shares.validation) + len(shares.test) == 2 * different


def test_one_file_is_split_by_the_seed_alone(tmp_path: Path) -> None:
    assert split_file(tmp_path, 30, seed=5) == split_file(tmp_path, 30, seed=5)
    assert split_file(tmp_path, 30, seed=5).test != split_file(tmp_path, 30, seed=6).test
    found = sorted({example.instruction for example in split_file(tmp_path, 30, seed=5).test})
    assert found == ["ask 16", "ask 4", "ask 7"]  # in every process


def test_one_file_of_too_few_instructions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 different instructions are too few"):
        split_file(tmp_path, 2, seed=0)


def test_a_whole_file_serves_as_test_data(tmp_path: Path) -> None:
    assert len(load_test(str(write(tmp_path / "mine.jsonl", ROWS)), Columns())) == len(ROWS)


def test_the_embedded_data_has_labels_in_every_share() -> None:
    shares = load_shares("multitask", Columns(), seed=0)
    assert len(tasks_of(shares.train)) == 4
    assert tasks_of(shares.train) == tasks_of(shares.validation) == tasks_of(shares.test)


def test_the_embedded_unseen_tasks_are_test_data_of_other_tasks() -> None:
    seen = tasks_of(load_test("multitask", Columns()))
    unseen = tasks_of(load_test("unseen", Columns()))
    assert unseen and not set(seen) & set(unseen)


def test_the_digest_changes_with_any_row_and_with_its_share() -> None:
    one, two = Example("a", "b", "t"), Example("c", "d", None)
    variants = [
        Shares((one, two), (), (one,)),
        Shares((two, one), (), (one,)),
        Shares((one,), (two,), (one,)),
        Shares((one, Example("c", "d", "t")), (), (one,)),
        Shares((one, two), (), (Example("a", "B", "t"),)),
    ]
    assert len({shares.digest() for shares in variants}) == len(variants)
    assert variants[0].digest() == Shares((one, two), (), (one,)).digest()


@pytest.mark.parametrize("template", [*TEMPLATES, "Q: {instruction} {x}\nA:"])
def test_a_prompt_is_the_template_with_the_instruction_verbatim(template: str) -> None:
    instruction = "braces {instruction} {0} and %s"
    before, after = TEMPLATES.get(template, template).split("{instruction}")
    assert render_prompt(template, instruction) == before + instruction + after
    assert not render_prompt(template, "x").endswith(" ")
