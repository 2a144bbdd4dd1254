"""Settings from TOML files and presets."""

import dataclasses
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from needed_settings import needed_with

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.reading import read_preset, read_settings
from fedrouter_sim.errors import UserError

FIELDS = dataclasses.fields(RunConfig)
PRESETS = [Path(p.name).stem for p in (resources.files("fedrouter_sim") / "presets").iterdir()]


def refusal_of_file(folder: Path, text: str | bytes) -> str:
    """The one-line message with which a settings file is refused."""
    path = folder / "my.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_settings(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def other_value(field: dataclasses.Field[Any]) -> Any:
    """A valid value that is not the default."""
    if field.metadata["choices"]:
        return next(value for value in field.metadata["choices"] if value != field.default)
    special = {
        "template": 'Q "{instruction}"\n\tÄ:',
        "participation": 0.25,
        "tasks": 3,
        "local_clusters": 3,
        "embedding": 3,
        "cut": 0.5,
    }
    if field.name in special:
        return special[field.name]
    if isinstance(field.default, tuple):
        return ("a=1", "b=x")
    value = getattr(RunConfig(), field.name)
    if isinstance(value, str):
        return f"other {field.name}"
    return value + (1 if isinstance(value, int) else 2**-10)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_has_a_toml_key_that_comes_back_unchanged(field: dataclasses.Field[Any], tmp_path: Path) -> None:
    value = other_value(field)
    config = RunConfig.build({field.name: value}, needed_with(field.name, value))
    assert config != RunConfig()
    (tmp_path / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    assert RunConfig.build(read_settings(tmp_path / "config.toml")) == config


@pytest.mark.parametrize(("value", "read"), [("0.5", 0.5), ("1", 1.0), ('"auto"', "auto")])
def test_a_fraction_or_a_word(value: str, read: float | str, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(f"cut = {value}\n")
    found = read_settings(tmp_path / "my.toml")["cut"]
    assert found == read and type(found) is type(read)
    for bad in ("true", '"0.5"', "nan", "1.5"):
        assert "cut = " in refusal_of_file(tmp_path, f"cut = {bad}\n")


@pytest.mark.parametrize("name", ["tasks", "local_clusters"])
@pytest.mark.parametrize("value", [True, 2.0, "four", 0])
def test_a_number_or_a_word_is_neither_a_truth_nor_a_fraction_nor_any_word(
    name: str, value: Any, tmp_path: Path
) -> None:
    message = refusal_of_file(tmp_path, f"{name} = {json.dumps(value)}\n")
    assert f"{name} = {value!r}" in message and "must be" in message
    (tmp_path / "my.toml").write_text(f'{name} = "auto"\n')
    assert read_settings(tmp_path / "my.toml") == {name: "auto"}


def test_the_toml_file_names_every_setting() -> None:
    assert list(tomllib.loads(RunConfig().to_toml())) == [field.name for field in FIELDS]


def test_a_whole_number_serves_for_a_float_setting(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("alpha = 1\nlora_targets = []\n")
    values = read_settings(tmp_path / "my.toml")
    assert values == {"alpha": 1.0, "lora_targets": ()} and type(values["alpha"]) is float


def test_a_settings_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text("seed = 3\n", encoding="utf-8-sig")
    assert read_settings(tmp_path / "my.toml") == {"seed": 3}


def test_the_instruction_column_of_older_files_is_one_text(tmp_path: Path) -> None:
    for line in ('instruction_column = "q"', 'instruction_column = ["q"]'):
        (tmp_path / "my.toml").write_text(line)
        assert read_settings(tmp_path / "my.toml") == {"instruction_column": ("q",)}
    assert RunConfig.build({"instruction_column": "q"}).instruction_column == ("q",)


def test_an_unknown_key_is_refused_by_file_and_key_with_where_to_look(tmp_path: Path) -> None:
    message = refusal_of_file(tmp_path, "rounds = 3\nlocal-steps = 4\n")
    assert "'local-steps' is not a setting" in message and "train --help" in message


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ('rounds = "5"', "int"),
        ("rounds = 5.0", "int"),
        ("rounds = true", "int"),
        ("lr = true", "float"),
        ('lr = "0.1"', "float"),
        ("method = 3", "str"),
        ('lora_targets = "c_attn"', "list of strings"),
        ("lora_targets = [1]", "list of strings"),
        ("data = {a = 1}", "str"),
    ],
)
def test_a_wrong_type_is_refused_by_file_key_value_and_the_right_one(tmp_path: Path, line: str, kind: str) -> None:
    key, value = line.split(" = ", 1)
    message = refusal_of_file(tmp_path, line)
    assert f"{key} = {tomllib.loads(line)[key]!r}" in message and kind in message, value


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("rounds = 0", "at least 1"),
        ("participation = 1.5", "at most 1"),
        ("alpha = 0", "above 0"),
        ("lr = nan", "finite"),
        ('budget = "triple"', "shared, per-group"),
    ],
)
def test_a_value_beyond_its_limits_is_refused_by_file_key_value_and_remedy(
    tmp_path: Path, line: str, remedy: str
) -> None:
    message = refusal_of_file(tmp_path, line)
    assert line.split()[0] in message and line.split()[2].strip('"') in message and remedy in message


@pytest.mark.parametrize("text", ["rounds = ", "rounds 3", b"\xff\xfa", "rounds = 1\nrounds = 2\n"])
def test_what_is_not_toml_is_refused(tmp_path: Path, text: str | bytes) -> None:
    assert "TOML" in refusal_of_file(tmp_path, text)


def test_a_file_of_another_encoding_is_read_by_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        path.write_text("rounds = 3\n", encoding=encoding)
        assert read_settings(path) == {"rounds": 3}


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(UserError, match=r"cannot be read .*; give a TOML file"):
            read_settings(path)


@pytest.mark.parametrize("name", PRESETS)
def test_shipped_presets_are_valid(name: str) -> None:
    values = read_preset(name)
    assert values
    RunConfig.build(values)


def test_the_papers_preset_has_the_papers_numbers() -> None:
    config = RunConfig.build(read_preset("paper"))
    assert (config.clients, config.rounds, config.local_steps, config.batch_size) == (8, 25, 10, 16)
    assert (config.lora_rank, config.lora_alpha, config.lora_dropout) == (8, 16.0, 0.05)
    assert (config.lr, config.lr_min, config.budget, config.normalize) == (5e-4, 1e-5, "per-group", "none")
    assert (config.examples_per_client, config.test_examples_per_client, config.tasks) == (600, 300, 4)


def test_an_unknown_preset_is_refused_with_the_list() -> None:
    with pytest.raises(UserError, match="--preset 'papper' is unknown; there are: cpu-small, paper"):
        read_preset("papper")


def test_one_held_out_task_may_be_given_without_a_list(tmp_path: Path) -> None:
    assert RunConfig(hold_out="sum").hold_out == ("sum",)  # type: ignore[arg-type]
    assert RunConfig(hold_out="").hold_out == ()  # type: ignore[arg-type]  # as older runs have it
    for text, expected in (('"sum"', ("sum",)), ('""', ()), ('["a", "b"]', ("a", "b"))):
        path = tmp_path / "config.toml"
        path.write_text(f"hold_out = {text}\n", encoding="utf-8")
        assert RunConfig.build(read_settings(path)).hold_out == expected
