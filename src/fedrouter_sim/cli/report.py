"""`fedrouter-sim report`."""

from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import print_result


def report_command(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write a run's page, report.html, and its figures into the run folder.

    Example: fedrouter-sim report runs/first
    """
    from fedrouter_sim.report.run_report import FIGURES_NAME, write_run_report
    from fedrouter_sim.runs.reader import Run

    path = write_run_report(Run(run))
    figures = sorted(str(figure) for figure in (run / FIGURES_NAME).glob("*.svg"))
    print_result({"report": str(path), "figures": figures}, [f"The report is {path}"], as_json)
