"""`fedrouter-sim study`."""

import sys
import time
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import Console, note, print_result
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.parsing import parse_toml, read_bounded


def study_command(
    plan: Annotated[Path, typer.Argument(help="TOML file: methods, splits, seeds, and claims.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="Folder of the results; by default runs/reproduce-PLAN.")] = None,
    model: Annotated[str | None, typer.Option(help="Another backbone than the plan's.")] = None,
    data: Annotated[str | None, typer.Option(help="Other data than the plan's.")] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Runs at a time (extra ray where several); by default one per processor core, 1 without ray or with a "
            "card."
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            help="File of finished runs: they are not run again, and those done now are added. With it a study goes on "
            "and is compared where the run folders are not."
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Do now only the runs of such names, as 'dual-*-seed111'; what is there is compared. Repeatable.",
        ),
    ] = None,
    only_draw: Annotated[
        bool, typer.Option("--only-draw", help="Run nothing more: compare and judge what is there so far.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the judged claims as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
) -> None:
    """Run a plan of methods x splits x seeds, compare the runs, and judge the claims that it makes beforehand.

    A run that is there is not run again, so an interrupted study goes on where it was.

    Example: fedrouter-sim study scripts/plans/smoke.toml
    """
    _check_plan(plan)

    from fedrouter_sim import train
    from fedrouter_sim.backbone.devices import resolve_device
    from fedrouter_sim.cli.progress import StudyDisplay
    from fedrouter_sim.federation.engine import installed
    from fedrouter_sim.machine import usable_cores
    from fedrouter_sim.operations.study import conclude, not_made, pending_runs, run_study
    from fedrouter_sim.report.comparison_tables import run_notes
    from fedrouter_sim.report.comparison_terminal import claims_table, comparison_table
    from fedrouter_sim.report.study_results import write_results
    from fedrouter_sim.runs.checking import notes_in
    from fedrouter_sim.studies.plan import PlannedRun, read_study
    from fedrouter_sim.studies.records import Records

    for name, value in (("--workers", workers), ("--only", only)):
        if only_draw and value:
            raise UserError(f"{name}: nothing is run with --only-draw; drop it")
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers}: must be at least 1")
    out = out or Path("runs") / f"reproduce-{plan.stem}"
    overrides = {key: value for key, value in (("model", model), ("data", data)) if value}
    started = time.monotonic()
    study = read_study(plan, overrides)
    kept = Records(records) if records else None
    chosen = study.chosen(only or ())
    pending = [] if only_draw else [run for run in pending_runs(study, out, kept) if run in chosen]
    display = StudyDisplay(pending, Console(stderr=True, quiet=quiet))
    failed: dict[str, UserError] = {}

    def refused(planned: PlannedRun, error: UserError) -> None:
        failed[planned.name] = error
        display.refused(planned.name, error)

    if only_draw:
        absent: dict[str, None] = {}
        pending_runs(study, out, kept, lambda why: absent.setdefault(why))
        for why in absent:
            note(f"not compared with what the runs were made of: {why}", quiet)
    else:
        # A card is one process's, unless the user says how many share it.
        card = resolve_device("auto").type != "cpu" and any(run.config.device != "cpu" for run in pending)
        at_a_time = workers or (usable_cores() if installed() and not card else 1)
        running = run_study(study, out, train, display, None, at_a_time, kept, refused, pending)
        try:
            with display.shown(), closing(running) as runs:
                for planned, run in runs:
                    display.finished(planned.name, run.summary, notes_in(run.manifest))
        except KeyboardInterrupt:
            note(f"the finished runs are in {out}, and the same command goes on from there", quiet=False)
            raise
    comparison, judged = conclude(study, out, kept)
    for text in comparison.notes:
        note(text, quiet)
    if not comparison.entries:
        if failed:
            raise not_made(failed, len(pending))
        where = "--only-draw" if only_draw else f"--out {out}"
        raise UserError(f"{where}: no run of {plan} is in {records or out} yet; run the study first")
    write_results(study, out, comparison, judged, " ".join(["fedrouter-sim", *sys.argv[1:]]))
    minutes = (time.monotonic() - started) / 60
    record = {
        "out": str(out),
        "runs": len(comparison.entries),
        "claims": [asdict(one) for one in judged],
        "notes": run_notes(comparison),
    }
    shown = [*map(comparison_table, comparison.views), *([claims_table(judged)] if judged else [])]
    print_result(
        record,
        [*shown, f"{minutes:.1f} minutes; the results are in {out}: report.html, table.md, results.csv"],
        as_json,
        width=160,
    )
    if failed:
        raise not_made(failed, len(pending))


def _check_plan(plan: Path) -> None:
    """Refuse what is no TOML at all before seconds of imports."""
    try:
        parse_toml(read_bounded(plan))
    except (OSError, ValueError) as error:
        raise UserError(f"{plan}: cannot be read ({first_line(error)}); give a TOML file") from None
