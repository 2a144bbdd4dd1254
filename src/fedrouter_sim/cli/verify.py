"""`fedrouter-sim verify`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import display_for, print_result
from fedrouter_sim.cli.settings import MovedModel, TrustCode


def verify_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    rerun: Annotated[bool, typer.Option("--rerun", help="Train the run again and compare the bytes.")] = False,
    model: MovedModel = None,
    trust_code: TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print every check as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
) -> None:
    """Recompute every digest of a run: its files, answers, data and backbone, and your own entries' files.

    The exit code is 1 if one has changed.

    Example: fedrouter-sim verify runs/first
    """
    from fedrouter_sim import Run, train
    from fedrouter_sim.operations.verify import CHANGED, SAME, UNKNOWN, verify

    with display_for(quiet) as display:
        checks = verify(Run(run, trust_code, model), display, train if rerun else None)
    counts = {state: sum(check.state == state for check in checks) for state in (SAME, CHANGED, UNKNOWN)}
    odd = [f"{check.state}: {check.what} {check.said}" for check in checks if check.state != SAME]
    verdict = f"{run}: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    print_result({**counts, "checks": [asdict(check) for check in checks]}, [*odd, verdict], as_json)
    if counts[CHANGED]:
        raise typer.Exit(1)
