"""`fedrouter-sim export`."""

from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import display_for, print_result
from fedrouter_sim.cli.settings import MovedModel
from fedrouter_sim.folders import refuse_existing
from fedrouter_sim.runs.layout import EXPORT_NAME, require_run


def export_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder that gets one folder an adapter.", show_default=False)],
    merged: Annotated[
        bool, typer.Option("--merged", help="Plain model folders, the adapter merged; else PEFT folders.")
    ] = False,
    task: Annotated[
        list[str] | None, typer.Option(help="Adapter to export, as task_0. Repeatable; by default all.")
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="float32|bfloat16|float16", help="Type of merged weights.")] = "float32",
    model: MovedModel = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the export at --out.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the folders as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Write a run's adapters for other tools: as PEFT folders, or merged into plain models of transformers.

    Example: fedrouter-sim export runs/first --merged --task task_0 --out exports/first
    """
    require_run(run)
    refuse_existing(out, overwrite, (EXPORT_NAME,), "an earlier export")

    from fedrouter_sim import Run, export

    with display_for(quiet) as display:
        done = export(Run(run, model=model), out, merged, task or (), dtype, overwrite, display)
    folders = {name: str(folder) for name, folder in done.folders.items()}
    print_result({"out": str(done.folder), "folders": folders}, [f"Written to {', '.join(folders.values())}"], as_json)
