"""The text of a settings file to begin with: every setting, what it means, what it may be, and its value."""

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import tomli_w
from rich.markup import render

from fedrouter_sim.config.declaring import number_named
from fedrouter_sim.config.reading import read_preset
from fedrouter_sim.config.settings import RunConfig

_WIDTH = 100  # columns of a comment
_NO_TABLES: Mapping[str, Sequence[str]] = MappingProxyType({})


def settings_file(preset: str | None = None, tables: Mapping[str, Sequence[str]] = _NO_TABLES) -> str:
    """Return the text of a TOML file of all settings, which `read_settings` takes back as these values.

    A heading and its settings are a block; above each setting stand its meaning, its default and its limits.

    Args:
        preset: name of the shipped preset whose values the file has, where it has some; None: all defaults.
        tables: the names of the entries of each table that settings name (`runs.entries.TABLES`).

    Raises:
        UserError: there is no such preset.
    """
    given = read_preset(preset) if preset else {}
    values = RunConfig.build(given).to_dict()
    derived = {f.name for f in dataclasses.fields(RunConfig) if f.metadata.get("rule") and f.name not in given}
    of = f"the preset '{preset}', and the defaults of what it leaves open" if preset else "the defaults"
    lines = [
        *_comment("Settings of a run, for `fedrouter-sim train --config FILE`."),
        *_comment(
            f"The values are {of}. Flags win over this file, and it wins over --preset. Any line may go: its setting "
            "then has the preset's value or its default. A setting behind a # follows from others as long as the # "
            "stays. Comments name settings by their flags: --local-steps is local_steps here."
        ),
    ]
    panels: dict[str, list[dataclasses.Field[Any]]] = {}
    for field in dataclasses.fields(RunConfig):
        panels.setdefault(field.metadata.get("panel", ""), []).append(field)
    for panel, fields in panels.items():
        lines += ["", "", f"# {f'--- {panel} ':-<{_WIDTH - 2}}"]
        for field in fields:
            meaning = render(field.metadata.get("help", ""), emoji=False).plain  # help texts are rich's markup
            lines += [
                "",
                *_comment(meaning),
                *_comment(_allowed(field, tables)),
                f"{'# ' if field.name in derived else ''}{field.name} = {_toml(values[field.name])}",
            ]
    return "\n".join(lines) + "\n"


def _allowed(field: dataclasses.Field[Any], tables: Mapping[str, Sequence[str]]) -> str:
    """Return a setting's default, and what else it may be."""
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    parts = [f"Default: {field.metadata['rule'] or _toml(default)}"]
    entries = tables.get(field.metadata["table"])
    if choices := field.metadata["choices"] or (entries and (*field.metadata["beside"], *entries)):
        parts.append(f"one of {', '.join(map(_toml, choices))}")
    if also := field.metadata["words"]:
        parts.append(f"{number_named(field)} or {' or '.join(map(_toml, also))}")
    for limit, words in (("least", "at least"), ("above", "above"), ("most", "at most")):
        if (bound := field.metadata.get(limit)) is not None:
            parts.append(f"{words} {bound}")
    return "; ".join(parts) + "."


def _toml(value: Any) -> str:
    """Return a value as TOML writes it."""
    return tomli_w.dumps({"x": value}).removeprefix("x = ").rstrip("\n")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_long_words=False,
        break_on_hyphens=False,  # flags stay whole
    )
