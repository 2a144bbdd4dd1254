"""Text that is not ours, on its way to a terminal: markup is text, and nothing steers."""

import io
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.table import Table

from fedrouter_sim.cli.output import as_json_line, note, print_result
from fedrouter_sim.cli.progress import ProgressDisplay
from fedrouter_sim.federation.observers import RoundRecord
from fedrouter_sim.report.figures import label
from fedrouter_sim.report.page import Section, rendered

Cli = Callable[..., subprocess.CompletedProcess[str]]
HOSTILE = "a[/red]b \x1b[31m\u202e\x9b5m\ud800 :smile:"
PLAIN = r"a[/red]b \x1b[31m\u202e\x9b5m\ud800 :smile:"


def test_a_folder_whose_name_is_markup_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_result({}, [f"The run is in {HOSTILE}"], as_json=False)
    assert capsys.readouterr().out == f"The run is in {PLAIN}\n"


def test_controls_in_tables_and_notes_are_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(title="\x1b]0;title\x07", title_justify="left")
    table.add_column("\u202ehead")
    table.add_row("\x1b[2J")
    print_result({}, [table], as_json=False)
    note(HOSTILE, quiet=False)
    out, err = capsys.readouterr()
    assert not set("\x1b\x07\u202e") & set(out) and r"\x1b[2J" in out and r"\u202ehead" in out
    assert err == f"note: {PLAIN}\n"


def test_json_has_the_same_values_and_nothing_that_steers() -> None:
    line = as_json_line({"a": HOSTILE, "é": "漢"})
    assert json.loads(line) == {"a": HOSTILE, "é": "漢"}
    assert not set("\x1b\x9b\u202e\ud800") & set(line) and "é" in line and "漢" in line


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_takes_markup_for_text(terminal: bool) -> None:
    file = io.StringIO()
    with ProgressDisplay(Console(file=file, force_terminal=terminal, width=200)) as display:
        display.started("[/red]\u202e", 3)
        display.advanced(1)
        display.noted("[/red]\u202e")
        display.round_ended(RoundRecord(1, 0.1, [0], {"[/red]\u202e": 0.5}), {})
    assert "[/red]" in file.getvalue() and "\u202e" not in file.getvalue()


def test_a_page_and_a_figure_show_what_would_turn_the_direction_of_reading() -> None:
    page = rendered(HOSTILE, ["\u2066<b>"], [Section("\u202eheading")])
    assert not set("\x1b\x9b\u202e\u2066\ud800") & set(page)
    assert r"\u202eheading" in page and "&lt;b&gt;" in page
    assert label("a\u202eb\x1bc") == "a b c"


@pytest.mark.parametrize(
    "words",
    [("train", "--out", "a\udcff"), ("train", "--data", "\x1b[31m/none"), ("train", "--method", "[/red]\u202e")],
)
def test_names_that_steer_are_refused_in_one_plain_line(words: tuple[str, ...], cli: Cli) -> None:
    done = cli(*words)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not set("\x1b\u202e\udcff") & set(done.stderr)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train --batch-size 10000000000", "at most 20,000,000 fit"),
        ("train --clients 100000000", "--clients 100000000: must be at most"),
        ("train --clients 10000000 --dry-run", "training rows; give fewer"),
        ("train --batch-size 1000000 --dry-run", "training rows; give less"),
        ("train --lora-rank 100000000", "--lora-rank 100000000: must be at most"),
        ("train --local-steps 10000000000", "at most 20,000,000 fit"),
        (f"train --seed {'9' * 400}", "64 bits"),
        (f"train --tasks {'9' * 400}", "must be a whole number or auto"),
        (f"train --seeds {','.join(map(str, range(3000)))}", "are 3,000; give at most 1,000"),
    ],
)
def test_what_cannot_fit_is_refused_before_it_is_allocated(words: str, said: str, cli: Cli) -> None:
    done = cli(*words.split())
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1


CHEAP = """
import sys
from fedrouter_sim.cli import main
for words in sys.argv[1:]:
    sys.argv = ["fedrouter-sim", *words.split()]
    try:
        main()
    except SystemExit as done:
        print(done.code, "torch" in sys.modules, "datasets" in sys.modules)
"""


def test_cheap_refusals_import_nothing_heavy() -> None:
    words = (
        "train --out .", "train --data /none", "train --method none", "train --model /none", "eval /none",
        "study /none", "export /none --out x",
        "route /none x", "aggregate /none --out x",
        "compare /none", "report /none",
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", CHEAP, *words], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["2 False False"] * len(words), done.stderr
