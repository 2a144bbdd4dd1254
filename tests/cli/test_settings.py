"""The flags of `train`, and how preset, file and flags are merged."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from fedrouter_sim.bundled import BUNDLED_DATA, BUNDLED_MODEL
from fedrouter_sim.cli.settings import resolve_settings, setting_of_flag, setting_parameters, takes_settings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag, shown_default
from fedrouter_sim.config.paths import table_settings
from fedrouter_sim.config.reading import read_preset
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.entries import TABLES
from fedrouter_sim.runs.layout import MANIFEST_NAME

FIELDS = dataclasses.fields(RunConfig)


def parse(*arguments: str) -> dict[str, Any]:
    """What a command with setting flags receives for these arguments."""
    received: dict[str, Any] = {}
    app = typer.Typer()

    @app.command()
    @takes_settings
    def command(own: str = "x", **settings: Any) -> None:
        received.update(settings)

    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return received


def sample(field: dataclasses.Field[Any]) -> tuple[list[str], Any]:
    """Arguments that give the setting a value other than its default, and that value."""
    if isinstance(field.default, tuple):
        return [flag(field.name), "one", flag(field.name), "two"], ["one", "two"]
    if field.metadata["choices"]:
        value: Any = next(choice for choice in field.metadata["choices"] if choice != field.default)
    elif field.metadata["words"]:  # a number or a word
        value = 3 if field.metadata["number"] is int else 0.5
    elif isinstance(default := getattr(RunConfig(), field.name), str):
        value = f"other {{instruction}} {field.name}"
    else:
        value = type(default)(default + 1)
    return [flag(field.name), str(value)], value


def test_every_setting_has_one_parameter_in_order_of_declaration() -> None:
    assert [parameter.name for parameter in setting_parameters()] == [field.name for field in FIELDS]


def test_a_command_may_take_some_settings_only() -> None:
    assert [parameter.name for parameter in setting_parameters(["model", "data"])] == ["data", "model"]
    app = typer.Typer()
    app.command()(takes_settings(lambda **settings: print(settings), ["seed"]))
    assert CliRunner().invoke(app, ["--seed", "3"]).output == "{'seed': 3}\n"
    assert CliRunner().invoke(app, ["--rounds", "3"]).exit_code == 2


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_has_a_flag_that_gives_its_value_in_its_type(field: dataclasses.Field[Any]) -> None:
    arguments, value = sample(field)
    received = parse(*arguments)
    given = received[field.name]
    if field.metadata["words"]:
        given = setting_of_flag(field.name, given)
    assert given == value and type(given) is type(value)
    assert {key for key, got in received.items() if got not in (None, [])} == {field.name}


def test_a_setting_of_a_table_shows_the_names_of_its_entries() -> None:
    shown = {p.name: p.annotation.__metadata__[0].metavar for p in setting_parameters()}
    assert shown["metric"] == "rouge1|rouge2|rouge_l|exact_match|balanced_accuracy|macro_f1|loss|FILE.py:CLASS"
    assert (
        shown["format"] == "auto|columns|chat|chat-each|pairs"
        and shown["budget"] == "shared|per-group"
        and shown["seed"] is None
    )
    for name, table in table_settings().items():
        none = ["none"] * (name in {"drift_to", "attack", "sharing"})
        assert shown[name] == "|".join([*none, *TABLES[table].names, *["FILE.py:CLASS"] * TABLES[table].own])


@pytest.mark.parametrize("name", table_settings())
def test_a_name_that_no_table_has_is_refused_by_its_flag(name: str, tmp_path: Path) -> None:
    needed = {"drift_at": 1} if name == "drift_to" else {}
    with pytest.raises(UserError, match=rf"^{flag(name)} nonsense: choose one of "):
        resolve_settings(None, None, {name: "nonsense", **needed})
    (tmp_path / "my.toml").write_text(f'{name} = "nonsense"\n' + "drift_at = 1\n" * bool(needed), encoding="utf-8")
    with pytest.raises(UserError, match=rf"^{flag(name)} nonsense: choose one of "):
        resolve_settings(None, tmp_path / "my.toml", {})


def test_without_flags_nothing_counts_as_given() -> None:
    config, given = resolve_settings(None, None, parse())
    assert config == RunConfig() and given == frozenset()


def test_help_names_every_flag_with_its_default() -> None:
    app = typer.Typer()
    app.command()(takes_settings(lambda **settings: None))
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
    shown = re.sub(r"[\s│]+", " ", shown)  # long helps take several lines
    for field in FIELDS:
        assert flag(field.name) in shown, field.name
        assert f"[default: {shown_default(field)}]" in shown, field.name


@pytest.mark.parametrize(
    "arguments", [("--rounds", "x"), ("--rounds", "1.5"), ("--lr", "fast"), ("--round-s", "1"), ("--local_steps", "1")]
)
def test_a_flag_or_value_that_cannot_be_is_refused_by_name(arguments: tuple[str, ...]) -> None:
    app = typer.Typer()
    app.command()(takes_settings(lambda **settings: None))
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300", "TERM": "dumb"})
    assert result.exit_code == 2 and arguments[0] in result.output


@pytest.fixture
def my_file(tmp_path: Path) -> Path:
    path = tmp_path / "my.toml"
    path.write_text('rounds = 3\nclients = 5\nlora_targets = ["a"]\n')
    return path


def test_flags_win_over_the_file_and_the_file_over_the_preset(my_file: Path) -> None:
    config, _ = resolve_settings("paper", my_file, parse("--rounds", "4"))
    expected = RunConfig.build(read_preset("paper"), {"clients": 5, "lora_targets": ("a",), "rounds": 4})
    assert config == expected
    assert read_preset("paper")["clients"] != 5 and read_preset("paper")["rounds"] not in (3, 4)


def test_a_list_flag_replaces_the_files_list(my_file: Path) -> None:
    config, _ = resolve_settings(None, my_file, parse("--lora-targets", "b", "--lora-targets", "c"))
    assert config.lora_targets == ("b", "c")


def test_a_zero_on_the_command_line_counts_as_given(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("eval_every = 2\nlora_dropout = 0.5\n")
    config, given = resolve_settings(None, tmp_path / "my.toml", parse("--eval-every", "0", "--lora-dropout", "0"))
    assert config.eval_every == 0 and config.lora_dropout == 0
    assert given == {"eval_every", "lora_dropout"}


def test_settings_of_flags_and_file_count_as_given_and_those_of_a_preset_do_not(my_file: Path) -> None:
    _, given = resolve_settings("paper", my_file, parse("--lr", "0.1"))
    assert given == {"rounds", "clients", "lora_targets", "lr"}


def test_local_paths_become_absolute_and_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    config, _ = resolve_settings(None, None, {"data": "mine", "model": "mine"})
    assert config.data == config.model == str(tmp_path / "mine")
    config, _ = resolve_settings(None, None, {"model": "org/name"})
    assert config.model == "org/name"


def test_a_hub_folder_becomes_absolute_and_what_is_in_the_hub_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("copies", "paper"):
        (tmp_path / name).mkdir()
    for data in ("paper", "org/name", "org/name:config"):
        config, _ = resolve_settings(None, None, {"data": data, "hub_folder": "copies"})
        assert (config.data, config.hub_folder) == (data, str(tmp_path / "copies"))
    config, _ = resolve_settings(None, None, {})
    assert config.hub_folder == ""


def test_the_file_of_an_own_method_becomes_absolute_and_other_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    (tmp_path / "fedavg").write_text("")
    for given, expected in (("mine.py:My", f"{tmp_path / 'mine.py'}:My"), ("fedavg", "fedavg"), ("no.py:X", "no.py:X")):
        assert resolve_settings(None, None, {"method": given})[0].method == expected


@pytest.mark.parametrize("name", BUNDLED_DATA)
def test_an_embedded_name_stays_even_beside_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (name, BUNDLED_MODEL):
        (tmp_path / folder).mkdir()
    config, _ = resolve_settings(None, None, {"data": name, "model": BUNDLED_MODEL})
    assert (config.data, config.model) == (name, BUNDLED_MODEL)


@pytest.mark.parametrize(
    ("preset", "text", "flags", "parts"),
    [
        ("nonsense", "", {}, ["--preset", "'nonsense'", "paper"]),
        (None, "rund = 3", {}, ["my.toml", "'rund'", "--help"]),
        (None, "rounds = 'many'", {}, ["my.toml", "rounds", "'many'", "int"]),
        (None, "rounds = 0", {}, ["my.toml", "rounds", "0", "at least 1"]),
        (None, "", {"rounds": 0}, ["--rounds", "0", "at least 1"]),
        (None, "lr_min = 0.5", {"lr": 0.1}, ["--lr-min", "0.5", "--lr", "0.1", "lower"]),
    ],
)
def test_a_bad_layer_is_one_line_that_names_place_key_value_and_remedy(
    tmp_path: Path, preset: str | None, text: str, flags: dict[str, Any], parts: list[str]
) -> None:
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        resolve_settings(preset, tmp_path / "my.toml", flags)
    message = str(caught.value)
    assert "\n" not in message and all(part in message for part in parts)


def test_a_flag_gives_a_number_or_a_word() -> None:
    config, given = resolve_settings(None, None, parse("--tasks", "auto", "--local-clusters", "3", "--cut", "-0.5"))
    assert (config.tasks, config.local_clusters, config.cut) == ("auto", 3, -0.5)
    assert given == {"tasks", "local_clusters", "cut"}
    for flags, said in (
        (("--tasks", "four"), "--tasks four: must be a whole number or auto"),
        (("--tasks", "2.5"), "--tasks 2.5: must be a whole number or auto"),
        (("--tasks", "-1"), "--tasks -1: must be at least 1"),
        (("--cut", "2"), "--cut 2: must be at most 1"),
        (("--cut", "high"), "--cut high: must be a number or auto"),
        (("--cut", "nan"), "--cut nan: must be a finite number"),
        (("--affinity", "x"), "--affinity x: choose one of gradient, centroid, update, both, or give your own as FILE"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            resolve_settings(None, None, parse(*flags))
        assert "\n" not in str(caught.value)


def test_the_settings_of_an_older_run_are_completed_by_what_runs_had_then(my_file: Path) -> None:
    assert resolve_settings(None, my_file, parse())[0].lr_scaling == "clients"
    (my_file.parent / MANIFEST_NAME).write_text("{}")
    config, given = resolve_settings(None, my_file, parse())
    assert (config.lr_scaling, config.sharing) == ("none", "none")
    assert given == {"rounds", "clients", "lora_targets"}
    assert resolve_settings(None, my_file, parse("--sharing", "affinity"))[0].sharing == "affinity"
