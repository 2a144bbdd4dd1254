"""The settings of a run that name an entry of a table, a file or a folder, and their absolute forms."""

import dataclasses
from pathlib import Path

from fedrouter_sim.bundled import BUNDLED_DATA, BUNDLED_MODEL, FETCHED
from fedrouter_sim.config.settings import RunConfig
from fedrouter_sim.config.words import PAPER_DATA
from fedrouter_sim.paths import at_home


def table_settings() -> dict[str, str]:
    """Return the settings that name an entry of a table, and the table of each."""
    return {field.name: field.metadata["table"] for field in dataclasses.fields(RunConfig) if field.metadata["table"]}


def path_settings() -> tuple[str, ...]:
    """Return the settings that may name a file or folder."""
    return ("data", "hub_folder", "model", *table_settings())


def absolute_paths(config: RunConfig) -> RunConfig:
    """Make local paths absolute, so that a run folder works from any working directory.

    Raises:
        UserError: a path begins with the home folder of nobody.
    """
    paths = {name: at_home(getattr(config, name)) for name in path_settings()}
    for name, value in paths.items():
        file, separator, entry = value.rpartition(":")
        if name not in table_settings():
            paths[name] = absolute_path(value)
        elif separator and Path(file).is_file():
            paths[name] = f"{Path(file).resolve()}:{entry}"
    return RunConfig.build(vars(config), paths)


def absolute_path(value: str) -> str:
    """Return the value of --data or --model as it is if it is a name, and a path that is there as an absolute one.

    Raises:
        UserError: the path begins with the home folder of nobody.
    """
    value = at_home(value)
    named = value in ("", *BUNDLED_DATA, PAPER_DATA, BUNDLED_MODEL, *FETCHED) or not Path(value).exists()
    return value if named else str(Path(value).resolve())
