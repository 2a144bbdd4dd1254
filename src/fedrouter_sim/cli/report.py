"""`fedrouter-sim report`."""

from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import print_result
from fedrouter_sim.cli.settings import TrustCode
from fedrouter_sim.runs.layout import require_run


def report_command(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", show_default=False)],
    trust_code: TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the paths as JSON.")] = False,
) -> None:
    """Write a run's page, report.html, and its figures into the run folder.

    Example: fedrouter-sim report runs/first
    """
    require_run(run)

    from fedrouter_sim.report.run_report import FIGURES_NAME, write_run_report
    from fedrouter_sim.runs.reader import Run

    path = write_run_report(Run(run, trust_code))
    figures = sorted(str(figure) for figure in (run / FIGURES_NAME).glob("*.svg"))
    print_result({"report": str(path), "figures": figures}, [f"The report is {path}"], as_json)
