"""`fedrouter-sim aggregate`."""

from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import print_result
from fedrouter_sim.errors import UserError


def aggregate_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run with a router.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the new run.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run at --out.")] = False,
    tasks: Annotated[int | None, typer.Option(help="Task clusters T; by default the run's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the clustering; by default the run's.")] = None,
    normalize: Annotated[
        str | None,
        typer.Option(metavar="none|l2|standardize", help="Space to cluster in, where the stored centroids allow it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Cluster and average a run's stored updates again with other choices, without training.

    Example: fedrouter-sim aggregate runs/first --tasks 3 --out runs/three
    """
    if tasks is not None and tasks < 1:
        raise UserError(f"--tasks {tasks}: must be at least 1")
    if seed is not None and seed < 0:
        raise UserError(f"--seed {seed}: must be at least 0")

    from fedrouter_sim.operations.aggregate import aggregate
    from fedrouter_sim.report.tables import aggregated_table, number
    from fedrouter_sim.run_folder import Run

    done = aggregate(Run(run), out, overwrite, tasks, seed, normalize)
    record = {
        "run": str(done.folder),
        "round": done.round,
        "updates_per_task": done.updates_per_task,
        "inherited": done.inherited,
        "ari_global": done.summary["ari_global"],
    }
    agreement = f"ARI of the tasks with the true ones: {number(done.summary['ari_global'])}"
    print_result(record, [aggregated_table(done), agreement, f"The run is in {done.folder}"], as_json)
