"""Settings: limits, layers, and the TOML file."""

import dataclasses
import json
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from fedrouter_sim.config import RunConfig, with_value
from fedrouter_sim.config_paths import absolute_paths, table_settings
from fedrouter_sim.config_reading import read_preset, read_settings
from fedrouter_sim.declaring import flag
from fedrouter_sim.errors import UserError

FIELDS = dataclasses.fields(RunConfig)
LIMITED = [f for f in FIELDS if any(f.metadata[limit] is not None for limit in ("least", "most", "above"))]
PRESETS = [Path(p.name).stem for p in (resources.files("fedrouter_sim") / "presets").iterdir()]


def needed_with(name: str, value: Any) -> dict[str, Any]:
    """What has to be given along with a setting: a drift is a round and a split."""
    if value == RunConfig.__dataclass_fields__[name].default:
        return {}
    drift = {"drift_at": 1, "drift_to": "single"}
    return {key: needed for key, needed in drift.items() if name.startswith("drift_") and key != name}


def refusal_of_file(folder: Path, text: str | bytes) -> str:
    """The one-line message with which a settings file is refused."""
    path = folder / "my.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        read_settings(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_the_defaults_are_valid_and_of_their_declared_types() -> None:
    config, hints = RunConfig(), get_type_hints(RunConfig)
    for field in FIELDS:
        kind = getattr(hints[field.name], "__origin__", hints[field.name])
        kinds = get_args(kind) if field.metadata["words"] else (kind,)
        assert type(getattr(config, field.name)) in kinds, field.name


def test_every_setting_says_what_it_means() -> None:
    for field in FIELDS:
        assert field.metadata["help"].endswith(".") and field.metadata["panel"], field.name


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        RunConfig().rounds = 3  # type: ignore[misc]


@pytest.mark.parametrize("field", LIMITED, ids=lambda field: field.name)
def test_a_value_at_its_limit_is_taken_and_one_beyond_is_refused_by_flag_and_value(
    field: dataclasses.Field[Any],
) -> None:
    limits = field.metadata
    whole = field.type is int
    step = 1 if whole else 1e-6
    taken, refused = [], []
    if limits["least"] is not None:
        taken.append(limits["least"])
        refused.append((limits["least"] - step, "at least"))
    if limits["above"] is not None:
        refused += [(limits["above"], "above"), (limits["above"] - step, "above")]
    if limits["most"] is not None:
        taken.append(limits["most"])
        refused.append((limits["most"] + step, "at most"))
    for value in taken:
        assert getattr(RunConfig.build({"lr_min": 0.0, field.name: value}), field.name) == value
    for value, remedy in refused:
        with pytest.raises(UserError) as caught:
            RunConfig.build({field.name: value})
        assert str(caught.value).startswith(f"{flag(field.name)} {value}: must be {remedy}")


@pytest.mark.parametrize("field", [f for f in FIELDS if f.metadata["choices"]], ids=lambda field: field.name)
def test_a_choice_takes_its_values_and_refuses_others_with_the_list(field: dataclasses.Field[Any]) -> None:
    for value in field.metadata["choices"]:
        settings = {field.name: value} | needed_with(field.name, value)
        assert getattr(RunConfig.build(settings), field.name) == value
    with pytest.raises(UserError) as caught:
        RunConfig.build({field.name: "other"})
    assert str(caught.value) == f"{flag(field.name)} other: choose one of {', '.join(field.metadata['choices'])}"


def test_settings_that_name_an_entry_of_a_table_take_any_text() -> None:
    """Whoever uses the entry looks it up: the table may be the user's own file."""
    names = table_settings()
    assert names == {
        "method": "methods", "metric": "metrics", "format": "row formats", "split": "splits", "drift_to": "splits",
        "aggregation": "aggregation rules", "sharing": "sharing rules", "affinity": "affinities", "router": "routers",
        "attack": "attacks",
    }  # fmt: skip
    for name in names:
        config = RunConfig.build({name: "mine.py:Mine"}, needed_with(name, "mine.py:Mine"))
        assert getattr(config, name) == "mine.py:Mine"


def test_files_of_own_entries_become_absolute_and_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("")
    for name in table_settings():
        given = {name: "mine.py:Mine"} | needed_with(name, "mine.py:Mine")
        assert getattr(absolute_paths(RunConfig.build(given)), name) == f"{tmp_path / 'mine.py'}:Mine"
        absent = given | {name: "absent.py:Mine"}
        assert getattr(absolute_paths(RunConfig.build(absent)), name) == "absent.py:Mine"
    assert absolute_paths(RunConfig()) == RunConfig()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["lr", "alpha", "clip", "weight_decay", "participation", "lora_alpha"])
def test_numbers_that_are_not_finite_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{flag(name)} .*finite"):
        RunConfig.build({name: value})


def test_a_least_learning_rate_above_the_first_is_refused_by_both_flags() -> None:
    assert RunConfig(lr=1e-3, lr_min=1e-3).lr_min == 1e-3
    with pytest.raises(UserError, match=r"--lr-min 0\.1 is above --lr 0\.01"):
        RunConfig(lr=0.01, lr_min=0.1)


@pytest.mark.parametrize(("lr", "least"), [(2e-2, 1e-4), (1e-2, 1e-4), (5e-4, 5e-6), (1e-5, 1e-7)])
def test_the_least_learning_rate_follows_from_the_first_unless_it_is_given(lr: float, least: float) -> None:
    assert RunConfig(lr=lr).lr_min == pytest.approx(least, rel=1e-12)
    assert RunConfig(lr=lr, lr_min=0.0).lr_min == 0.0


def test_the_default_least_learning_rate_is_exactly_what_it_was() -> None:
    assert RunConfig().lr_min == RunConfig(lr=0.02).lr_min == 1e-4


@pytest.mark.parametrize(("rounds", "warmup"), [(1, 1), (2, 1), (3, 2), (8, 2)])
def test_the_warm_up_leaves_a_round_unless_it_is_given(rounds: int, warmup: int) -> None:
    assert RunConfig(rounds=rounds).warmup_rounds == warmup
    assert RunConfig(rounds=rounds, warmup_rounds=5).warmup_rounds == 5


def test_a_message_says_where_a_value_is_the_default() -> None:
    assert with_value("clients", RunConfig.clients) == f"--clients {RunConfig.clients} (the default)"
    assert with_value("split", "all") == "--split all"


@pytest.mark.parametrize("given", [{"drift_at": 1}, {"drift_to": "single"}])
def test_a_drift_needs_a_round_and_a_split(given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"--drift-at \d with --drift-to \w+: a drift needs both"):
        RunConfig.build(given)


def test_what_a_drift_brings_needs_a_drift_and_is_not_held_out() -> None:
    with pytest.raises(UserError, match=r"--drift-brings a: nothing drifts; give --drift-at and --drift-to"):
        RunConfig(drift_brings=("a", "b"))
    with pytest.raises(UserError, match=r"--drift-brings b: is held out .* by --hold-out b; drop one"):
        RunConfig(drift_at=1, drift_to="all", drift_brings=("a", "b"), hold_out=("b",))


def test_a_drift_is_at_most_one_round_beyond_the_last() -> None:
    assert RunConfig(rounds=3, drift_at=4, drift_to="all").drift_at == 4
    with pytest.raises(UserError, match=r"--drift-at 5: is after the last round; .* --rounds \+ 1 = 4"):
        RunConfig(rounds=3, drift_at=5, drift_to="all")


@pytest.mark.parametrize("template", ["alpaca", "plain", "chat", "Q: {instruction}\nA:", "{x} {instruction}"])
def test_a_template_is_a_name_or_holds_the_instruction_once(template: str) -> None:
    assert RunConfig(template=template).template == template


@pytest.mark.parametrize("template", ["", "Alpaca", "Chat", "Q:", "{instruction} {instruction}"])
def test_any_other_template_is_refused(template: str) -> None:
    with pytest.raises(UserError, match="--template"):
        RunConfig(template=template)


def test_a_later_layer_wins_and_the_rest_is_default() -> None:
    config = RunConfig.build({"rounds": 3, "clients": 5}, {}, {"rounds": 4})
    assert config == dataclasses.replace(RunConfig(), rounds=4, clients=5)


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


@pytest.mark.parametrize("name", ["tasks", "local_clusters"])
@pytest.mark.parametrize("value", [True, 2.0, "four", 0])
def test_a_number_or_a_word_is_neither_a_truth_nor_a_fraction_nor_any_word(
    name: str, value: Any, tmp_path: Path
) -> None:
    message = refusal_of_file(tmp_path, f"{name} = {json.dumps(value)}\n")
    assert f"{name} = {value!r}" in message and "must be" in message
    (tmp_path / "my.toml").write_text(f'{name} = "auto"\n')
    assert read_settings(tmp_path / "my.toml") == {name: "auto"}


def test_what_the_tasks_are_found_by_follows_from_whether_their_number_is_given() -> None:
    def derived(**given: Any) -> list[str]:
        config = RunConfig.build(given)
        return [config.affinity, config.normalize, config.router]

    assert derived(tasks="auto") == ["both", "cosine", "prototypes"]
    assert derived(tasks=7) == ["centroid", "standardize", "centroid"]
    assert derived(tasks="auto", affinity="gradient", normalize="l2", router="centroid") == [
        "gradient", "l2", "centroid"
    ]  # fmt: skip


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
