"""`fedrouter-sim train`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrouter_sim.cli.output import display_for, note, print_result
from fedrouter_sim.cli.settings import resolve_settings, takes_settings
from fedrouter_sim.config import flag


@takes_settings
def train_command(
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one under runs/.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run at --out.")] = False,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="TOML file of settings; flags win over it.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Shipped settings under the file's: 'paper'.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
    **settings: Any,
) -> None:
    """Train and evaluate one federated run, and leave its folder.

    Example: fedrouter-sim train --clients 10 --out runs/first
    """
    config, given = resolve_settings(preset, config_file, settings)

    from fedrouter_sim.methods import find_method
    from fedrouter_sim.operations.prepare import unused_settings
    from fedrouter_sim.operations.train import train
    from fedrouter_sim.report.tables import summary_table

    method = find_method(config.method)
    for name in unused_settings(config, method, given):
        note(f"{flag(name)} has no effect with --method {method.name} --split {config.split}", quiet)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    with display_for(quiet) as display:
        done = train(config, out or Path("runs") / f"{stamp}-{method.name}", overwrite, display)
    for text in done.notes:
        note(text, quiet)
    record = {**done.summary, "run": str(done.folder)}
    print_result(record, [summary_table(done.summary), f"The run is in {done.folder}"], as_json)
