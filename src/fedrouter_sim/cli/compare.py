"""`fedrouter-sim compare`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedrouter_sim.cli.output import note, print_result
from fedrouter_sim.cli.settings import OwnOptions, TrustCode
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.layout import require_run

if TYPE_CHECKING:
    from fedrouter_sim.studies.comparison import Comparison


def compare_command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs that share a test set.", show_default=False)],
    baseline: Annotated[
        str | None, typer.Option(help="Method to set the others against, as it is named in the table.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to compare by; by default the first run's. Your own as FILE.py:CLASS.")
    ] = None,
    option: OwnOptions = None,
    data: Annotated[
        str | None, typer.Option(help="Compare on these test data, on which `eval --data` scored all runs.")
    ] = None,
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
    if report is not None and report.is_dir():
        raise UserError(f"--report {report}: is a folder; give the name of a file")

    from fedrouter_sim.report.comparison_terminal import comparison_table, differences_table, gains_table
    from fedrouter_sim.studies.reading import open_comparison

    comparison = open_comparison(runs, metric, option or (), trust_code, data=data)
    for text in comparison.notes:
        note(text, quiet)
    if baseline is not None and baseline not in comparison.methods():
        raise UserError(f"--baseline {baseline}: no run is of it; there are {', '.join(comparison.methods())}")
    cells = [(method, *cell) for method in comparison.methods() for cell in comparison.cells()]
    record: dict[str, Any] = {"metric": comparison.metric.name, **_record(comparison, cells, baseline)}
    record["differences"] = comparison.differences
    if comparison.by_loss is not None:
        record["by_loss"] = _record(comparison.by_loss, cells, baseline)
    shown: list[Any] = [comparison_table(view) for view in comparison.views]
    if baseline is not None:
        shown += [gains_table(view, baseline) for view in comparison.views]
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


def _record(comparison: "Comparison", cells: "list[tuple[str, str, str]]", baseline: str | None) -> dict[str, Any]:
    """Return scores and, where there is a baseline, gains, with their intervals, for machines."""

    def over(method: str, split: str, test_data: str) -> dict[str, Any] | None:
        found = comparison.over_samples(method, split, test_data)
        return None if found is None else asdict(found)

    scores = [
        {
            "method": method,
            "split": split,
            "test_data": data,
            **asdict(found),
            "over_samples": over(method, split, data),
        }
        for method, split, data in cells
        if (found := comparison.estimate(method, split, data)) is not None
    ]
    if baseline is None:
        return {"scores": scores}
    gains = [comparison.gain(method, baseline, *cell) for method, *cell in cells if method != baseline]
    told = [
        asdict(gain) | {"ratio": asdict(gain.ratio), "power": asdict(gain.power(1.0))}
        for gain in gains
        if gain is not None
    ]
    return {"scores": scores, "gains": told}
