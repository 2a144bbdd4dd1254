"""`fedrouter-sim compare`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrouter_sim.cli.output import note, print_result
from fedrouter_sim.cli.settings import OwnOptions, TrustCode
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.layout import require_run


def compare_command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs that share a test set.", show_default=False)],
    baseline: Annotated[
        str | None, typer.Option(help="Method to set the others against, as it is named in the table.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to compare by; by default the first run's. Your own as FILE.py:CLASS.")
    ] = None,
    option: OwnOptions = None,
    report: Annotated[Path | None, typer.Option(help="HTML file for the page of the comparison.")] = None,
    trust_code: TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print scores and gains as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")] = False,
) -> None:
    """Set runs side by side: scores with intervals over seeds, costs, gains, and the settings in which they differ.

    Example: fedrouter-sim compare runs/first runs/second --baseline fedavg
    """
    for run in runs:
        require_run(run)

    from fedrouter_sim.report.tables import comparison_table, differences_table, gains_table
    from fedrouter_sim.studies.reading import open_comparison

    comparison = open_comparison(runs, metric, option or (), trust_code)
    for text in comparison.notes:
        note(text, quiet)
    if baseline is not None and baseline not in comparison.methods():
        raise UserError(f"--baseline {baseline}: no run is of it; there are {', '.join(comparison.methods())}")
    cells = [(method, *cell) for method in comparison.methods() for cell in comparison.cells()]
    record: dict[str, Any] = {
        "metric": comparison.metric.name,
        "scores": [
            {"method": method, "split": split, "test_data": test_data, **asdict(found)}
            for method, split, test_data in cells
            if (found := comparison.estimate(method, split, test_data)) is not None
        ],
        "differences": comparison.differences,
    }
    shown: list[Any] = [comparison_table(comparison)]
    if baseline is not None:
        gains = [comparison.gain(method, baseline, *cell) for method, *cell in cells if method != baseline]
        record["gains"] = [asdict(gain) | {"ratio": asdict(gain.ratio)} for gain in gains if gain is not None]
        shown.append(gains_table(comparison, baseline))
    if comparison.differences:
        shown.append(differences_table(comparison))
    if min((count for cell in cells if (count := len(comparison.select(*cell)))), default=0) < 3:
        note("a method with fewer than 3 seeds says little: its interval is wide or missing", quiet)
    if report is not None:
        from fedrouter_sim.report.comparison_report import write_comparison_report

        write_comparison_report(report, "Comparison of runs", comparison, [])
        shown.append(f"The page is {report}")
        record["report"] = str(report)
    print_result(record, shown, as_json)
