"""`fedrouter-sim data`."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrouter_sim.backbone.locating import resolve_model
from fedrouter_sim.cli.output import Console, note, print_result
from fedrouter_sim.cli.settings import resolve_settings, takes_settings

SETTINGS = (
    "hub_folder format instruction_column response_column task_column client_column on_bad_row seed model "
    "template max_tokens"
).split()
"""Those that decide what is read and how it is rendered."""


@partial(takes_settings, names=SETTINGS)
def data_command(
    data: Annotated[
        str | None,
        typer.Argument(
            help="What train --data takes: a folder, a file, the name of included data, or a Hub id. By default that "
            "of --config, or the included data.",
            show_default=False,
        ),
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="TOML file of settings, as of train; flags win over it.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Shipped settings under the file's: 'paper', 'cpu-small'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
    **settings: Any,
) -> None:
    """Say what a run would read of its data: rows, tasks, clients, lengths, duplicates, rows it would refuse, and how
    prompts look, with what is learnt of them in brackets.

    Nothing is trained and the model's weights are not loaded. Rows that a run would refuse are no failure here.

    Example: fedrouter-sim data my-data --max-tokens 256
    """
    config, _ = resolve_settings(preset, config_file, {"data": data, **settings})
    resolve_model(config.model)  # what leads nowhere is refused before seconds of imports

    with Console(stderr=True, quiet=quiet).status("reading the data"):
        from fedrouter_sim.operations.look import look
        from fedrouter_sim.report.data_tables import data_tables

        found = look(config)
    for text in found.notes:
        note(text, quiet)
    print_result(asdict(found), list(data_tables(found)), as_json)
    for text in found.advice:
        note(text, quiet)
