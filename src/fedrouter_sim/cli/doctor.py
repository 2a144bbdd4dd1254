"""`fedrouter-sim doctor`."""

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from fedrouter_sim.cli.output import Console, print_result

if TYPE_CHECKING:
    from fedrouter_sim.operations.doctor import Check

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Say whether this installation works: packages, machine, caches, what works without network, and extras.

    The exit code is 1 if something that every run needs is missing, too old or broken. The network is not asked.

    Example: fedrouter-sim doctor
    """
    with Console(stderr=True).status("looking at packages and machine"):
        from fedrouter_sim.operations.doctor import doctor

        found = doctor()
    sections = [_table(name, list(checks)) for name, checks in groupby(found.checks, lambda check: check.section)]
    verdict = "Nothing stands in the way of a run on the embedded data."
    if found.problems:
        verdict = f"No run works until this is fixed: {', '.join(found.problems)}."
    record = {"works": not found.problems, "problems": found.problems, "checks": [*map(asdict, found.checks)]}
    print_result(record, [*sections, Text(verdict)], as_json)
    if found.problems:
        raise typer.Exit(1)


def _table(section: str, checks: "list[Check]") -> Table:
    """Show the checks of a section, each with its state, what was found, and on a line of its own what to do."""
    table = Table("", "", "", title=section, show_header=False, title_justify="left")
    for check in checks:
        found = Text(check.found)
        if check.remedy:
            found.append(f"\n-> {check.remedy}")
        table.add_row(Text(check.state, _STYLES[check.state]), Text(check.name), found)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.overflow = "fold"  # names and paths stay whole, however narrow the terminal
    return table
