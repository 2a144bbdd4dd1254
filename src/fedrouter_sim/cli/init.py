"""`fedrouter-sim init`."""

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.config.writing import settings_file
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.entries import TABLES
from fedrouter_sim.showing import plain
from fedrouter_sim.storage import write_text


def init_command(
    file: Annotated[Path, typer.Argument(help="File to write; - is standard output.")] = Path("fedrouter-sim.toml"),
    preset: Annotated[
        str | None, typer.Option(help="Begin with the values of shipped settings: 'paper', 'cpu-small'.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Write a file of all settings with their meaning, limits and values, to be edited and given to `train --config`.

    Example: fedrouter-sim init my.toml --preset cpu-small
    """
    text = settings_file(preset, {name: table.names for name, table in TABLES.items()})
    if str(file) == "-":
        print(text, end="", flush=True)
        return
    try:
        if file.exists() and not file.is_file():
            raise UserError(f"{file}: is no file; give the name of a file, or - for standard output")
        if file.exists() and not overwrite:
            raise UserError(f"{file}: is there already; choose another name or give --overwrite")
        write_text(Path(os.path.realpath(file)), text)  # through a link, not over it
    except OSError as error:
        raise UserError(
            f"{file}: cannot be written ({error.strerror}); give a file where you may write, or - for standard output"
        ) from None
    print(f"Written to {plain(str(file))}; train with it: fedrouter-sim train --config {plain(shlex.quote(str(file)))}")
