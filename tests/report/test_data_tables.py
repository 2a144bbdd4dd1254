"""What `data` found, as tables: every number is there, and no text of the data steers the terminal."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from fedrouter_sim.backbone.prompting import ShownPrompt
from fedrouter_sim.operations.look import (
    Bin,
    ClientsLook,
    DataLook,
    Lengths,
    PartLook,
    Refused,
    ShareLook,
    TokensLook,
)
from fedrouter_sim.report import data_tables as module
from fedrouter_sim.report.data_tables import data_tables, prompt_panels

SOME = Lengths(17, 29, 31, (Bin(13, 16, 5), Bin(17, 24, 0), Bin(25, 32, 40)))
TOKENS = TokensLook(45, 1, "it fails", SOME, SOME, SOME, 3, 7)
TRAIN = ShareLook("train", 4_500, {"[b]a": 11, "b": 22}, 4_467, ClientsLook(6, 8, 9), 13, 14, {"test": 19}, TOKENS)
TEST = ShareLook("test", 46, {}, 46, None, 0, 0, {}, replace(TOKENS, prompt=None, response=None, both=None))
REFUSED = (Refused("it is [i]empty", 12, (3, 4, 5, 6, 7)), Refused("it is odd", 1, (9,)))
PART = PartLook("/a/b/train.jsonl", ("instruction", "[u]"), 4_520, 4_500, 20, REFUSED)
FOUND = DataLook("mine", "[m]", "{instruction}\x07", 512, None, (PART,), (TRAIN, TEST), (), (), ())


def shown(*things: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=120)
    for thing in things:
        console.print(thing)
    return out.getvalue()


def rows(text: str) -> list[list[str]]:
    """The cells of all rows."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_every_number_is_in_a_table() -> None:
    text = shown(*data_tables(FOUND))
    found = rows(text)
    for expected in (
        ["train.jsonl", "4,520", "20", "4,500", "instruction, [u]"],
        ["train.jsonl", "12", "3, 4, 5, 6, 7, ...", "it is [i]empty"],
        ["", "1", "9", "it is odd"],
        ["", "7", "", "other reasons"],
        ["train", "4,500", "2", "4,467", "6", "8 to 9", "13", "14", "19"],
        ["test", "46", "0", "46", "-", "-", "0", "0", "-"],
        ["[b]a", "11", "0"],
        ["train", "45", *["17 / 29 / 31"] * 3, "3", "7"],
        ["test", "45", "-", "-", "-", "3", "7"],
        ["13 to 16", "5 ██▌", "0"],
        ["17 to 24", "0", "0"],
        ["25 to 32", f"40 {'█' * 20}", "0"],
    ):
        assert expected in found, expected
    assert "--model [m], --template {instruction}\\x07, at most 512" in " ".join(text.split())


def test_tables_that_would_say_nothing_are_left_out() -> None:
    bare = replace(FOUND, parts=(replace(PART, refused=()),), shares=(TEST,))
    text = shown(*data_tables(bare))
    assert "What was read" in text
    for words in ("cannot be used", "Rows of each task", "also in"):
        assert words not in text
    assert "What was read" not in shown(*data_tables(replace(bare, parts=())))


def test_of_many_tasks_the_largest_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_TASKS", 2)
    share = replace(TRAIN, tasks={"a": 1, "b": 3, "c": 2, "d": 1})
    found = rows(shown(*data_tables(replace(FOUND, shares=(share,)))))
    assert ["b", "3"] in found and ["c", "2"] in found and ["a", "1"] not in found
    assert ["and 2 smaller ones", ""] in found


def test_a_prompt_has_its_learnt_part_in_brackets_and_in_colour() -> None:
    one = ShownPrompt("[red]a", "Q: [b]x[/b]\x1b[31m\nA:", "y\t<|end|>", 12, 3, True)
    text = shown(*prompt_panels([one, replace(one, task=None, cut=False)]))
    assert "Prompt 1 of task [red]a: 12 tokens, cut to fit, then 3 that are learnt" in text
    assert "Prompt 2: 12 tokens, then 3 that are learnt" in text
    assert "│ Q: [b]x[/b]\\x1b[31m " in text and "│ A:⟦y\\t<|end|>⟧ " in text
    [panel] = prompt_panels([one])
    [span] = panel.renderable.spans
    assert panel.renderable.plain[span.start : span.end] == "⟦y\\t<|end|>⟧" and span.style == "bold green"


@pytest.mark.parametrize(
    ("count", "largest", "bar"), [(0, 9, ""), (9, 9, "█" * 20), (1, 2, "█" * 10), (1, 10**6, "▏"), (11, 160, "█▍")]
)
def test_bars_are_as_long_as_their_share_of_the_largest(count: int, largest: int, bar: str) -> None:
    assert module._bar(count, largest).rstrip() == bar and len(module._bar(count, largest)) == 20
