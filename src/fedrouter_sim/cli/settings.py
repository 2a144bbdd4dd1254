"""Flags of `train` from the declarations in `config`: each setting is written down once."""

import dataclasses
import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import check_limits, flag, from_text, shown_default
from fedrouter_sim.config.paths import absolute_paths, table_settings
from fedrouter_sim.config.reading import BEFORE, read_preset, read_settings
from fedrouter_sim.config.words import UNSEEN_ANSWERS
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing import ROUTERS
from fedrouter_sim.runs.entries import TABLES, check_names
from fedrouter_sim.runs.layout import MANIFEST_NAME

OwnOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Option of the entry that this command names; by default the run's. Repeatable.",
        show_default=False,
    ),
]
"""`--option` of the commands that take a run and another metric or aggregation rule than the run's."""


UnseenAnswer = Annotated[
    str | None,
    typer.Option(
        "--unseen",
        metavar="|".join(UNSEEN_ANSWERS),
        help="What answers a text that counts as unseen: the nearest adapter, the bare backbone, or half of each; by "
        "default as the run was told.",
        show_default=False,
    ),
]
"""`--unseen` of the commands that answer by a run."""

TrustCode = Annotated[
    bool,
    typer.Option(
        "--trust-code",
        help="Run the files of code (FILE.py:CLASS) that the settings of the run name, if they are as in training.",
    ),
]
"""`--trust-code` of the commands that take a run."""

MovedModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Where the run's backbone is now, if no longer where it was: a name, folder or file as of train --model. "
        "It has to be the one that the run was trained on.",
        show_default=False,
    ),
]
"""`--model` of the commands that use the backbone of a run."""

OtherRouter = Annotated[
    str | None,
    typer.Option(
        "--router",
        metavar="|".join(ROUTERS.names),
        help="Another router, made of the run's archive; by default the run's. Your own as FILE.py:CLASS.",
    ),
]
"""`--router` of the same commands."""


def setting_parameters(names: Collection[str] = ()) -> list[inspect.Parameter]:
    """Return a keyword parameter for each of some settings, or for all; its default None means that the flag was not
    given."""
    hints = get_type_hints(RunConfig)
    parameters = []
    for field in dataclasses.fields(RunConfig):
        if names and field.name not in names:
            continue
        several = isinstance(field.default, tuple)
        kind: Any = list[str] if several else str if field.metadata["words"] else hints[field.name]
        choices = choices_of(field)
        option = typer.Option(
            flag(field.name),
            help=f"{field.metadata['help']} [dim]\\[default: {shown_default(field)}][/]",
            metavar="|".join(choices) if choices else None,
            show_default=False,
            rich_help_panel=field.metadata["panel"],
        )
        annotation = Annotated[kind | None, option]
        parameters.append(
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        )
    return parameters


def choices_of(field: "dataclasses.Field[Any]") -> tuple[str, ...]:
    """Return the values that a setting may have, where they are few or have names."""
    table = TABLES.get(field.metadata["table"])
    if table is None:
        if words := field.metadata["words"]:
            return ("INTEGER" if field.metadata["number"] is int else "NUMBER", *words)
        return tuple(field.metadata["choices"])
    return (*field.metadata["beside"], *table.names, *(("FILE.py:CLASS",) if table.own else ()))


def takes_settings(command: Callable[..., None], names: Collection[str] = ()) -> Callable[..., None]:
    """Give a command with **settings a flag for each of some settings, or for all."""
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = signature.replace(parameters=[*own, *setting_parameters(names)])  # type: ignore[attr-defined]
    return command


def resolve_settings(
    preset: str | None, config_file: Path | None, flags: dict[str, Any]
) -> tuple[RunConfig, frozenset[str]]:
    """Merge preset, file and flags into a configuration; also return the names of the settings that the user gave.

    Given is what has a flag, and what the file changes: a file of all settings (`init` writes one) asks for nothing by
    those that it leaves at their defaults.

    Raises:
        UserError: a layer is not readable, or the settings contradict each other.
    """
    from_preset = read_preset(preset) if preset else {}
    from_file = read_settings(config_file) if config_file else {}
    if config_file and (config_file.parent / MANIFEST_NAME).exists():
        # A command without a setting's flag does not use the setting.
        used = {name: value for name, value in from_file.items() if name in flags}
        refuse_code(f"--config {config_file}: is of a run folder", used, flags)
        from_preset |= BEFORE  # an older run is repeated as it was
    given = {key: setting_of_flag(key, value) for key, value in flags.items() if value not in (None, [])}
    config = RunConfig.build(from_preset, from_file, given)
    config = absolute_paths(config)
    check_names(config)
    without_file = vars(RunConfig.build(from_preset))
    changed = {key for key, value in from_file.items() if value != without_file[key]}
    return config, frozenset(given) | changed


def all_named(preset: str | None, config_file: Path | None) -> frozenset[str]:
    """Return the names of all settings of a preset and a file, those that are as by default among them.

    Raises:
        UserError: one is not readable.
    """
    layers = (read_preset(preset) if preset else {}, read_settings(config_file) if config_file else {})
    return frozenset(name for layer in layers for name in layer)


def refuse_code(source: str, settings: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    """Refuse the settings of a run folder where they name code: who trains by them names it by a flag as well.

    Args:
        source: the flag that names the folder, and what it is.
        settings: of the folder.
        flags: that were given, by setting.

    Raises:
        UserError: they do, and no flag does.
    """
    for name, table in table_settings().items():
        value = str(settings.get(name, ""))
        if TABLES[table].is_own(value) and flags.get(name) is None:
            raise UserError(
                f"{source}, and its {name} names a file of code, which is not run on the folder's word; look into it, "
                f"then give {flag(name)} {value} as well"
            )


def setting_of_flag(name: str, value: Any) -> Any:
    """Return what a flag gave as the type of its setting.

    Raises:
        UserError: it is outside the limits of a setting that is a number or a word.
    """
    field = RunConfig.__dataclass_fields__[name]
    if isinstance(value, list):
        return tuple(value)
    if not field.metadata["words"]:
        return value
    typed = from_text(value, field.metadata["number"])
    check_limits(f"{flag(name)} {value}", field, typed)
    return typed
