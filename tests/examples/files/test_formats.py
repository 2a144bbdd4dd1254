"""The layouts that files have: compression, encodings, separators, JSON objects, and what is refused of each."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Columns, Example

ROW = {"instruction": "é, a", "response": "b"}
LINES = json.dumps(ROW, ensure_ascii=False) + "\n"
CSV = 'instruction,response\r\n"é, a",b\r\n'


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(path: Path) -> list[tuple[str, str]]:
    return [(example.instruction, example.response) for example in Reading().file(path)]


def refusal(path: Path) -> str:
    """What is said after the name of the file."""
    with pytest.raises(UserError) as caught:
        Reading().file(path)
    before, said = str(caught.value).split(f"--data {path}: ")
    assert before == "" and "\n" not in said
    return said


def packed(text: str, suffix: str) -> bytes:
    if suffix.lower() == ".gz":
        return gzip.compress(text.encode())
    return bytes(pyarrow.compress(text.encode(), "zstd", asbytes=True))


@pytest.mark.parametrize("name", ["a.JSONL", "a.Csv", "a.json", "a.tsv"])
@pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".GZ"])
def test_text_formats_may_be_compressed_and_suffixes_large(tmp_path: Path, name: str, suffix: str) -> None:
    tsv = "instruction\tresponse\né, a\tb\n"
    text = {".jsonl": LINES, ".json": f"[{LINES}]", ".csv": CSV, ".tsv": tsv}[name.lower()[1:]]
    path = write(tmp_path / (name + suffix), packed(text, suffix) if suffix else text)
    assert texts(path) == [("é, a", "b")]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_damaged_archive_is_one_line(tmp_path: Path, suffix: str) -> None:
    whole = packed("".join(LINES.replace("b", str(n)) for n in range(999)), suffix)
    broken = bytearray(whole)
    broken[len(whole) // 2 : len(whole) // 2 + 40] = bytes(40)
    for content in (whole[:-9], whole[: len(whole) // 2], b"not packed at all", bytes(broken)):
        assert f"is no whole {suffix} archive" in refusal(write(tmp_path / f"a.jsonl{suffix}", content))


def test_compressed_parquet_is_refused(tmp_path: Path) -> None:
    assert "compressed in itself" in refusal(write(tmp_path / "a.parquet.gz", b"x"))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize(("suffix", "text"), [(".jsonl", LINES), (".json", f"[{LINES}]"), (".csv", CSV)])
def test_an_encoding_that_the_file_announces_is_read(tmp_path: Path, suffix: str, text: str, encoding: str) -> None:
    assert texts(write(tmp_path / f"a{suffix}", text.encode(encoding))) == [("é, a", "b")]


@pytest.mark.parametrize(("suffix", "text"), [(".jsonl", LINES), (".json", f"[{LINES}]"), (".csv", CSV)])
def test_bytes_in_another_encoding_are_refused_by_their_place(tmp_path: Path, suffix: str, text: str) -> None:
    content = text.encode("latin-1")
    said = refusal(write(tmp_path / f"a{suffix}", content))
    assert said.startswith(f"byte {content.index(0xE9) + 1} (line ") and said.endswith("save the file as UTF-8")


@pytest.mark.parametrize(("separator", "named"), [(";", "';'"), ("\t", "a tab"), ("|", "'|'")])
def test_another_separator_is_found_by_the_header_and_a_note_says_so(
    tmp_path: Path, separator: str, named: str
) -> None:
    reading = Reading()
    path = write(tmp_path / "a.csv", f"\n\ninstruction{separator}response\na, x{separator}b\n")
    assert reading.file(path) == (Example("a, x", "b"),)
    assert reading.notes == [f"--data {path}: is read with {named} between the columns"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("instruction,response,response\na,b,c\n", "the header names column 'response' twice"),
        ("instruction,response,,\na,b,,\n", "the header names column '' twice"),
        ("instruction,response\na,b\n\na\n", "line 4 has fewer fields than the header names (1 for 2)"),
        ('instruction,response\n"a\nb",c\na,b,c\n', "line 4 has more fields than the header names (3 for 2)"),
        ("instruction,response\na,b\0\n", "line 2 holds a NUL byte"),
        ('instruction,response\n"a,b\n', "line 2: unexpected end of data; "),
    ],
)
def test_a_csv_that_could_be_read_wrongly_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(write(tmp_path / "a.csv", text)).startswith(said)


def test_a_csv_field_may_be_long_and_a_column_without_name_be_there(tmp_path: Path) -> None:
    long = "x" * 200_000
    assert texts(write(tmp_path / "a.csv", f",instruction,response\n0,{long},b\n")) == [(long, "b")]


@pytest.mark.parametrize(
    "value",
    [
        [ROW],
        {"data": [ROW]},
        {"version": "1.0", "count": 1, "rows": [ROW]},
        {"instruction": ["é, a"], "response": ["b"]},
        ROW,
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_json_document_is_read_whatever_holds_its_rows(tmp_path: Path, value: Any, indent: int | None) -> None:
    assert texts(write(tmp_path / "a.json", json.dumps(value, indent=indent))) == [("é, a", "b")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps({"train": [ROW], "test": [ROW]}), "is an object of several lists (train, test)"),
        (json.dumps({"a": [1, 2], "b": [1]}), "is an object of columns that are not equally long (a 2, b 1)"),
        (json.dumps({"a": {"b": 1}, "c": 2}), "is an object without a list of objects; it has a, c"),
        (json.dumps([ROW, 7]), "row 2 is int, not a JSON object"),
        ((json.dumps(ROW, indent=1) + "\n") * 2, "has more text after its first value, from line 5 on; put all"),
        (json.dumps([ROW]) + "x", "has more text after its first value, from line 1 on"),
        ('[{"a": 1, "a": 2}]', "an object of its list names 'a' twice"),
        ('{"a": 1, "a": 2}', "line 1 names 'a' twice"),
        ('{\n"a": \n}', "is not JSON: Expecting value: line 3"),
        ("[" * 100_000, "not readable as json"),
        ("7", "is not a list of JSON objects"),
    ],
)
def test_a_json_document_that_could_be_read_wrongly_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert refusal(write(tmp_path / "a.json", text)).startswith(said)


def test_a_key_that_a_line_names_twice_is_refused_by_the_line(tmp_path: Path) -> None:
    assert refusal(write(tmp_path / "a.jsonl", LINES + '{"response": 1, "response": 2}\n')) == (
        "line 2 names 'response' twice"
    )


def parquet(path: Path, names: list[str], *columns: Any) -> Path:
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays(list(map(pyarrow.array, columns)), names=names), path)
    return path


def test_parquet_columns_of_bytes_and_categories_are_texts(tmp_path: Path) -> None:
    path = parquet(
        tmp_path / "a.parquet",
        ["instruction", "response", "task"],
        ["é".encode()],
        ["b"],
        pyarrow.array(["t"]).dictionary_encode(),
    )
    assert Reading().file(path) == (Example("é", "b", "t"),)
    path = parquet(tmp_path / "b.parquet", ["instruction", "response"], [b"a", b"\xe9"], ["b", "c"])
    assert "row 2: column 'instruction' holds bytes that are not UTF-8" in refusal(path)


def test_parquet_of_two_columns_of_one_name_is_refused_and_unread_columns_cost_nothing(tmp_path: Path) -> None:
    assert "names column 'a' twice" in refusal(parquet(tmp_path / "a.parquet", ["a", "a"], [1], [2]))
    path = parquet(tmp_path / "b.parquet", ["instruction", "response", "x"], ["a"], ["b"], [1])
    assert Reading(Columns(task="x")).file(path) == (Example("a", "b", "1"),)
    assert "holds no rows" in refusal(parquet(tmp_path / "c.parquet", ["a"], pyarrow.array([], "string")))
