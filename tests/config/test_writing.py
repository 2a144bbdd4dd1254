"""The settings file to begin with: every setting, explained, and read back to the values that it was made of."""

import dataclasses
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig, writing
from fedrouter_sim.config.declaring import setting
from fedrouter_sim.config.reading import read_preset, read_settings
from fedrouter_sim.config.writing import settings_file
from fedrouter_sim.errors import UserError

FIELDS = dataclasses.fields(RunConfig)
PRESETS = [Path(p.name).stem for p in (resources.files("fedrouter_sim") / "presets").iterdir()]


def read_back(text: str, folder: Path) -> dict[str, Any]:
    (folder / "my.toml").write_text(text, encoding="utf-8")
    return read_settings(folder / "my.toml")


def comment_of(text: str, name: str) -> str:
    """The comment right above a setting, as one line."""
    [found] = re.findall(rf"((?:^# .*\n)+?)^(?:# )?{name} = ", text, flags=re.MULTILINE)
    return " ".join(line.removeprefix("# ") for line in found.splitlines())


def with_settings(**fields: Any) -> type[RunConfig]:
    """Settings of one's own making in place of the program's."""
    made = [(name, type(field.default), field) for name, field in fields.items()]
    return dataclasses.make_dataclass("Made", made, bases=(_Bare,), frozen=True)


class _Bare:
    build = classmethod(lambda cls, *layers: cls())
    to_dict = RunConfig.to_dict


def test_it_is_read_back_to_exactly_the_defaults(tmp_path: Path) -> None:
    values = read_back(settings_file(), tmp_path)
    assert list(values) == [field.name for field in FIELDS if not field.metadata["rule"]]
    assert RunConfig.build(values) == RunConfig()


def test_a_setting_that_follows_from_others_stands_behind_a_hash_unless_the_preset_gives_it() -> None:
    assert "\n# lr_min = 0.0001\n" in settings_file() and "\n# warmup_rounds = 2\n" in settings_file("paper")
    assert "\nlr_min = 1e-05\n" in settings_file("paper")


@pytest.mark.parametrize("name", PRESETS)
def test_with_a_preset_it_is_read_back_to_its_values_over_the_defaults(name: str, tmp_path: Path) -> None:
    values = read_back(settings_file(name), tmp_path)
    assert RunConfig.build(values) == RunConfig.build(read_preset(name)) != RunConfig()
    assert f"preset '{name}'" in settings_file(name)


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(UserError, match="--preset 'fast' is unknown"):
        settings_file("fast")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_above_each_setting_stand_its_meaning_its_default_and_its_limits(field: dataclasses.Field[Any]) -> None:
    comment = comment_of(settings_file("paper"), field.name)
    assert comment.startswith(" ".join(field.metadata["help"].split()))
    allowed = comment.rpartition("Default: ")[2]
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    said = re.split(r"; |\.$", allowed)[0]
    assert (said if field.metadata["rule"] else tomllib.loads(f"x = {said}")["x"]) == (
        field.metadata["rule"] or default
    )
    for choice in field.metadata["choices"]:
        assert f'"{choice}"' in allowed
    for limit, words in (("least", "at least"), ("above", "above"), ("most", "at most")):
        bound = field.metadata[limit]
        assert (f"; {words} {bound}" in allowed) == (bound is not None)


def test_each_panel_is_one_heading_above_its_settings() -> None:
    panel, found = "", []
    for line in settings_file().splitlines():
        if heading := re.fullmatch(r"# --- (.+?) -+", line):
            panel = heading[1]
            found.append((panel, []))
        elif not line.startswith("#") and line:
            found[-1][1].append(line.split(" = ")[0])
    assert [(panel, len(names)) for panel, names in found if not names] == []
    expected: dict[str, list[str]] = {}
    for field in FIELDS:
        if not field.metadata["rule"]:
            expected.setdefault(field.metadata["panel"], []).append(field.name)
    assert found == list(expected.items())


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_comments_keep_to_the_width(preset: str | None) -> None:
    assert max(len(line) for line in settings_file(preset).splitlines() if line.startswith("#")) == 100


def test_flags_in_comments_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    made = with_settings(x=setting("Panel", 1, f"{'word ' * 18}--local-steps, and more."))
    monkeypatch.setattr(writing, "RunConfig", made)
    assert "# --local-steps, and more." in settings_file().splitlines()


def test_a_new_setting_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    made = with_settings(
        first=setting("Panel", 2, "Of [bold]rich[/] markup.", least=1, most=3),
        stray=setting("Other", ("a", "b"), "A list."),
        last=setting("Panel", 'say "\\"\n', "Of the first panel again.", choices=("x", "y")),
    )
    monkeypatch.setattr(writing, "RunConfig", made)
    text = settings_file()
    assert comment_of(text, "first") == "Of rich markup. Default: 2; at least 1; at most 3."
    assert comment_of(text, "last").endswith('; one of "x", "y".')
    assert tomllib.loads(text) == {"first": 2, "last": 'say "\\"\n', "stray": ["a", "b"]}
    assert text.count("--- Panel") == 1 and text.index("last = ") < text.index("--- Other")


def test_the_names_of_a_table_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "RunConfig", with_settings(split=setting("P", "dual", "H.", table="splits")))
    assert comment_of(settings_file(), "split") == 'H. Default: "dual".'
    listed = settings_file(None, {"splits": ("single", "dual")})
    assert comment_of(listed, "split") == 'H. Default: "dual"; one of "single", "dual".'


def test_a_word_beside_a_table_is_listed_with_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = setting("P", "none", "H.", table="splits", beside=("none",))
    monkeypatch.setattr(writing, "RunConfig", with_settings(drift_to=drift))
    assert comment_of(settings_file(), "drift_to") == 'H. Default: "none".'
    listed = settings_file(None, {"splits": ("single", "dual")})
    assert comment_of(listed, "drift_to") == 'H. Default: "none"; one of "none", "single", "dual".'
