"""Settings from TOML files and shipped presets, each value of its setting's type."""

from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from fedrouter_sim.config.declaring import check_limits
from fedrouter_sim.config.settings import RunConfig
from fedrouter_sim.config.words import NONE
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.parsing import parse_toml, read_bounded
from fedrouter_sim.showing import shown

_ONCE_SINGLE = ("instruction_column", "hold_out")  # settings that may have several values, of which older runs have one

BEFORE = {"sharing": NONE, "lr_scaling": NONE}
"""What runs had that are from before there was the setting, where it is not what a new run has by default."""


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a TOML file.

    Raises:
        UserError: the file is missing or not TOML, or a key, or the type or limits of a value, is not a setting's.
    """
    try:
        text = read_bounded(path)
    except (OSError, ValueError) as error:
        raise UserError(f"--config {path}: cannot be read ({first_line(error)}); give a TOML file") from None
    try:
        values = parse_toml(text)
    except ValueError as error:
        raise UserError(f"--config {path}: not TOML: {first_line(error)}") from None
    return {key: typed_setting(str(path), key, value) for key, value in values.items()}


def read_preset(name: str) -> dict[str, Any]:
    """Return the settings of a shipped preset by its name."""
    folder = resources.files("fedrouter_sim") / "presets"
    names = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name not in names:
        raise UserError(f"--preset {name!r} is unknown; there are: {', '.join(names)}")
    with resources.as_file(folder / f"{name}.toml") as path:
        return read_settings(path)


def typed_setting(source: str, key: str, value: Any) -> Any:
    """Return a TOML value as the type of its setting, or refuse it by file, key and value."""
    hints = get_type_hints(RunConfig)
    if key not in hints:
        raise UserError(
            f"{source}: {shown(key)} is not a setting; `fedrouter-sim train --help` lists them (with - for _)"
        )
    kind = hints[key]
    if get_origin(kind) is tuple:
        if key in _ONCE_SINGLE and isinstance(value, str):
            return (value,) if value else ()
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise UserError(f"{source}: {key} = {shown(value)} must be a list of strings")
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if float in kinds and type(value) is int:
        value = float(value)
    if type(value) not in kinds:
        named = " or ".join(one.__name__ for one in kinds)
        raise UserError(f"{source}: {key} = {shown(value)} must be of type {named}")
    check_limits(f"{source}: {key} = {shown(value)}", RunConfig.__dataclass_fields__[key], value)
    return value
