"""Texts to be routed: read as --data is, and lines as they come."""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.asking import Asking
from fedrouter_sim.examples.record import Example, Turn


def file(path: Path, content: str | bytes, asking: Asking = Asking()) -> list[Any]:  # noqa: B008 (it is frozen)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(asking.file(path))


def stream(content: str | bytes) -> list[Any]:
    return list(Asking().stream(io.BytesIO(content.encode() if isinstance(content, str) else content)))


ONE = Example("é a", "", "1")


def test_every_format_gives_text_and_task(tmp_path: Path) -> None:
    line = '{"instruction": " é a ", "task": 1.0}\n'
    assert file(tmp_path / "a.jsonl", line) == [ONE]
    assert file(tmp_path / "a.jsonl.gz", gzip.compress(line.encode())) == [ONE]
    assert file(tmp_path / "a.json", f"[{line}]") == [ONE]
    assert file(tmp_path / "a.csv", "instruction;task\né a;1\n") == [ONE]
    assert file(tmp_path / "a.TSV", "instruction\ttask\né a\t1\n") == [ONE]
    assert file(tmp_path / "a.txt", "é a\n\nb") == ["é a", "b"]
    table = pyarrow.table({"instruction": ["é a".encode()], "task": [1.0], "x": [[1]]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    assert list(Asking().file(tmp_path / "a.parquet")) == [ONE]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_mark_at_the_beginning_is_no_part_of_the_first_text(tmp_path: Path, encoding: str) -> None:
    assert file(tmp_path / "a.jsonl", '{"instruction": "é a", "task": 1}'.encode(encoding)) == [ONE]
    assert file(tmp_path / "a.txt", "é a".encode(encoding)) == ["é a"]
    assert stream("é a".encode("utf-8-sig")) == ["é a"]


def test_the_text_is_made_of_the_columns_that_an_instruction_is_made_of_or_of_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    row = json.dumps({"instruction": "Add", "input": "1", "system": None, "context": ["x"], "q": "Q", "kind": "k"})
    for name, content in (("a.jsonl", row), ("a.json", f"[{row}]")):
        assert file(tmp_path / name, content) == [Example("Add\n\n1", "")]
        assert file(tmp_path / name, content, Asking(("q",), "kind")) == [Example("Q", "", "k")]


def test_lines_are_jsonl_where_the_first_with_text_is_an_object() -> None:
    assert stream('\n{"instruction": "a"}\n{"instruction": "b"}') == [Example("a", ""), Example("b", "")]
    assert stream("a\n{b}\n") == ["a", "{b}"]


def test_lines_are_yielded_before_the_next_is_read() -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            buffer[:2] = b"a\n"
            return 2

    texts: Iterator[Any] = Asking().stream(io.BufferedReader(Endless()))
    assert [next(texts), next(texts)] == ["a", "a"]


def test_what_comes_before_a_line_that_is_no_text_is_yielded() -> None:
    texts = Asking().stream(io.BytesIO(b"a\n" + b"\xe9\n"))
    assert next(texts) == "a"
    with pytest.raises(UserError, match=r"^standard input: line 2, byte 1 is 0xe9, which is not UTF-8"):
        next(texts)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"instruction": "a"}]', "line 1 begins a JSON list and not a text: give --file with a name that ends in"),
        ("[\n", "line 1 begins a JSON list"),
        ("{\n", "line 1 begins a JSON object"),
        ('{"instruction": "a\\ud83d"}', "line 1: 'instruction' holds half a character"),
        ('{"instruction": "a"}\n{"instruction": null}', "line 2 has no text under 'instruction'; name the column with"),
        ('{"instruction": "a"}\n{"instruction": [1]}', "line 2: 'instruction' holds list, not a text"),
        ('{"instruction": "a"}\n[1]', "line 2 is not a JSON object"),
        ('{"instruction": "a", "instruction": "b"}', "line 1 names 'instruction' twice"),
    ],
)
def test_a_line_that_could_be_read_wrongly_is_refused_by_its_number(content: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        stream(content)
    assert str(caught.value).startswith(f"standard input: {said}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"a\nb\xe9", "byte 4 (line 2) is 0xe9"),
        ("a.jsonl", '{"instruction": "\\ud83d"}', "line 1: 'instruction' holds half a character"),
        ("a.jsonl", "{broken", "line 1 is not JSON"),
        ("a.csv", "a,b\n1,2\n", "no column 'instruction'; it has a, b: name it with --column"),
        ("a.csv", "instruction\na\n \n", "row 2 has no text under 'instruction'"),
        ("a.csv", "", "the file is empty"),
        ("a.jsonl.gz", b"no", "is no whole .gz archive"),
        ("a.parquet.gz", b"no", "Parquet is compressed in itself"),
    ],
)
def test_a_file_that_could_be_read_wrongly_is_refused_by_its_flag(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        file(tmp_path / name, content)
    assert str(caught.value).startswith(f"--file {tmp_path / name}: {said}")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("a.txt", "a.csv", "a.jsonl.gz", "a.zst"):
        with pytest.raises(UserError, match=r"^--file .*: No such file or directory; give a text or data file"):
            list(Asking().file(tmp_path / name))


def test_a_task_that_is_none_does_not_stand_in_the_way(tmp_path: Path) -> None:
    assert file(tmp_path / "a.jsonl", '{"instruction": "a", "task": [1]}') == [Example("a", "")]


TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.json"])
def test_conversations_are_asked_by_their_last_user(tmp_path: Path, name: str) -> None:
    rows = [{"messages": TALK, "task": 1}, {"conversations": [*TALK, {"from": "gpt", "value": "d"}]}]
    path = tmp_path / name
    text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    turns = tuple(Turn(one["role"], one["content"]) for one in TALK)
    assert list(Asking().file(path)) == [Example.of_turns(turns, "", "1"), Example.of_turns(turns, "")]


def test_what_a_system_says_beside_a_conversation_is_asked_with_it(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"messages": TALK[:2], "system": "rules"}) + "\n", encoding="utf-8")
    assert list(Asking().file(path)) == [Example.of_turns((Turn("system", "rules"), Turn("user", "a")), "")]


@pytest.mark.parametrize("name", ["prompts.jsonl", "prompts.json"])
def test_prompts_are_asked_and_columns_of_turns_may_be_named(tmp_path: Path, name: str) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": TALK[:1]}, {"prompt": json.dumps(TALK[:1]), "dialog": TALK}]
    path = tmp_path / name
    text = json.dumps(rows) if name.endswith(".json") else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    assert [one.instruction for one in Asking().file(path) if isinstance(one, Example)] == ["a", "a", "a"]
    path.write_text(json.dumps(rows[2:]) if name.endswith(".json") else json.dumps(rows[2]), encoding="utf-8")
    [found] = Asking(("dialog",)).file(path)
    assert isinstance(found, Example) and len(found.turns) == 3


def test_a_conversation_without_a_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"messages": TALK[1:2]}) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1: 'messages' has no turn of a user; correct it"):
        list(Asking().file(path))
