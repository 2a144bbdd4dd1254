"""`fedrouter-sim data`: tables or JSON, notes with what to do, and no failure because of bad rows."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from fedrouter_sim.cli.data import SETTINGS
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.operations.look import look

Cli = Callable[..., subprocess.CompletedProcess[str]]

ROWS = [
    {"instruction": "count the bread", "response": "two loaves", "task": "count"},
    {"instruction": "count the fish", "response": "", "task": "count"},
    {"instruction": "name the [bold]town[/] \x1b[31m", "response": "Oslo", "task": "[red]name"},
]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder with a bad row, a leaked one, and texts that look like markup and steer terminals."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for share, rows in (("train", ROWS), ("test", ROWS[:1])):
        (folder / f"{share}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a model is loaded."""
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("loads the weights"))


def test_tables_prompts_and_notes_on_what_to_do(cli: Cli, mine: Path, micro_model: Path) -> None:
    done = cli("data", mine, "--model", micro_model, "--template", "plain")
    assert done.returncode == 0
    assert "column 'response' is empty" in done.stdout
    assert "⟦two loaves<|endoftext|>⟧" in done.stdout and "█" in done.stdout
    assert "name the [bold]town[/] \\x1b[31m" in done.stdout and "\x1b" not in done.stdout
    assert "Prompt 2 of task [red]name:" in done.stdout
    notes = done.stderr.splitlines()
    assert all(line.startswith("note: ") for line in notes)
    assert notes[0].startswith("note: 1 of 4 rows cannot be used") and notes[0].endswith("--on-bad-row skip")
    assert "instructions of 1 of 1 test rows are trained on as well" in notes[1]
    assert cli("data", mine, "--model", micro_model, "--quiet").stderr == ""


def test_json_is_all_that_was_found(cli: Cli, mine: Path, micro_model: Path) -> None:
    done = cli("data", mine, "--model", micro_model, "--max-tokens", "64", "--template", "plain", "--json", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    config = RunConfig(data=str(mine), model=str(micro_model), max_tokens=64, template="plain")
    assert json.loads(done.stdout) == json.loads(json.dumps(asdict(look(config))))


def test_the_included_data_need_no_flag_and_leave_nothing(cli: Cli, tmp_path: Path) -> None:
    done = cli("data", "--json", cwd=tmp_path)
    record = json.loads(done.stdout)
    assert (done.returncode, done.stderr, record["advice"], record["data"]) == (0, "", [], "multitask")
    assert {share["name"]: share["rows"] for share in record["shares"]} == {
        "train": 6000, "validation": 600, "test": 1000
    }  # fmt: skip
    assert len(record["prompts"]) == 3
    assert not list(tmp_path.iterdir())


def test_the_data_and_settings_of_a_file_are_taken_and_flags_win(cli: Cli, mine: Path, tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(f'data = "{mine}"\nmax_tokens = 99\ntemplate = "plain"\nrounds = 3\n', encoding="utf-8")
    record = json.loads(cli("data", "--config", path, "--max-tokens", "77", "--json", "-q").stdout)
    assert (record["data"], record["template"], record["limit"]) == (str(mine), "plain", 77)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "--data nowhere: no such file"),
        (["multitask", "--model", "no model"], "--model 'no model'"),
        (["multitask", "--template", "chat"], "--template chat: "),
        (["multitask", "--instruction-column", "question"], "no column 'question'"),
        (["multitask", "--max-tokens", "3"], "--max-tokens 3: must be at least 8"),
        (["multitask", "--rounds", "3"], "--rounds"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_line(cli: Cli, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = cli("data", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ") and words in done.stderr


def test_help_has_an_example_and_the_settings_that_decide(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = cli("data", "--help").stdout
    assert "Example: fedrouter-sim data my-data" in shown
    assert all(flag(name) in shown for name in SETTINGS) and "--rounds" not in shown


def test_a_dry_run_shows_the_prompts_too(cli: Cli, small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # a step is measured, which takes the weights
    arguments = ("train", *small, "--dry-run")
    record = json.loads(cli(*arguments, "--json", "--quiet").stdout)
    assert [set(shown) for shown in record["prompts"]] == [
        {"task", "prompt", "learnt", "prompt_tokens", "learnt_tokens", "cut"}
    ] * 3
    assert record["steps"] > 0
    first = record["prompts"][0]["learnt"]
    assert f"⟦{first}⟧" in cli(*arguments, "--quiet").stdout
