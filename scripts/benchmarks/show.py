"""What a run of the benchmarks leaves: its record (JSON), the table on the screen, and the table of the docs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from marked_tables import write_between_marks
from rich.table import Table

from benchmarks.measure import Measured
from benchmarks.setting import Setting
from fedrouter_sim.errors import UserError

FORMAT = 1
SAME = ("format", "model", "data", "quick", "machine")
"""What records have to agree in to be joined."""

Record = dict[str, Any]


def new_record(setting: Setting, quick: bool, machine: Mapping[str, Any]) -> Record:
    """Return the record of a run that has measured nothing yet. It names no path of this machine."""
    return {
        "format": FORMAT,
        "model": Path(setting.config.model).name,
        "data": Path(setting.config.data).name,
        "quick": quick,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": dict(machine),
        "benchmarks": {},
    }


def as_json(measured: Measured, seconds: float) -> Record:
    """Return what a benchmark measured as JSON-able values; `seconds` is how long all of it took."""
    values = measured.samples.values
    return {
        "title": measured.contest.title,
        "notes": list(measured.contest.notes),
        "repeats": measured.repeats,
        "medians": {c: {q: measured.samples.median(c, q) for q in quantities} for c, quantities in values.items()},
        "samples": values,
        "figures": [
            {"what": f.what, "value": f.value, "target": f.target, "reached": f.reached} for f in measured.figures
        ],
        "seconds": round(seconds, 1),
    }


def joined(records: Sequence[tuple[str, Record]]) -> Record:
    """Return the records of several runs as one; of a benchmark that is in several, the last.

    Args:
        records: (name of the file, record).

    Raises:
        UserError: they are of other models, data or machines.
    """
    (first_name, first), *rest = records
    for name, record in rest:
        for key in SAME:
            if record[key] != first[key]:
                raise UserError(
                    f"--from {name}: its {key} is {record[key]!r} and that of {first_name} is {first[key]!r}; "
                    "give records of one model, data and machine"
                )
    return first | {
        "date": max(record["date"] for _, record in records),
        "benchmarks": {
            name: one | {"date": one.get("date", record["date"])}
            for _, record in records
            for name, one in record["benchmarks"].items()
        },
    }


def rows_of(record: Record) -> list[tuple[str, str, str, str, str]]:
    """Return the rows of the table: benchmark, what, value, target, reached. Medians come before figures."""
    rows = []
    for name, one in record["benchmarks"].items():
        lines = [
            (f"{contender}: {quantity}", number(value), "", "")
            for contender, quantities in one["medians"].items()
            for quantity, value in quantities.items()
        ]
        for figure in one["figures"]:
            reached = {True: "yes", False: "no", None: ""}[figure["reached"]]
            lines.append((figure["what"], number(figure["value"]), figure["target"] or "", reached))
        rows += [(name if i == 0 else "", *line) for i, line in enumerate(lines)]
    return rows


def number(value: float) -> str:
    """Write a number with three significant digits, or whole."""
    if value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.1e}"


def table(record: Record) -> Table:
    """Return the table for the screen."""
    shown = Table("benchmark", "measured", title=f"{heading(record)}; {repeats(record)}", title_justify="left")
    shown.add_column("value", justify="right")
    shown.add_column("target", justify="right")
    shown.add_column("reached")
    for name, *cells in rows_of(record):
        if name:
            shown.add_section()
        shown.add_row(name, *cells, style="bold" if cells[2] else None)
    return shown


def heading(record: Record) -> str:
    """Say what was measured on what."""
    machine = record["machine"]
    return f"{record['model']} on {record['data']}, {machine['dtype']}, {machine['threads']} threads"


def repeats(record: Record) -> str:
    """Say what the medians are over."""
    counts = sorted({one["repeats"] for one in record["benchmarks"].values()})
    said = " or ".join(map(str, counts)) or "no"
    return f"medians of {said} repeats" + (" (--quick: too few to go by)" if record["quick"] else "")


def markdown(record: Record) -> str:
    """Return the section of the docs: the machine, the command, the table, what each benchmark is."""
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in record["machine"].items())
    given = [f"--model {record['model']}", f"--data {record['data']}", *(["--quick"] if record["quick"] else [])]
    lines = [
        f"`make bench ARGS='{' '.join(given)}'` on {record['date']}, {repeats(record)}. The machine: {facts}.",
        "",
        "| benchmark | measured | value | target | reached |",
        "|---|---|--:|--:|---|",
    ]
    for name, what, value, target, reached in rows_of(record):
        cells = (name, what, value, target, reached) if not target else (name, f"**{what}**", value, target, reached)
        lines.append("| " + " | ".join(cells) + " |")
    lines.append("")
    for name, one in record["benchmarks"].items():
        when = one.get("date", record["date"])
        lines.append(f"- **{name}** ({when}, repeats: {one['repeats']}): {one['title']}. {' '.join(one['notes'])}")
    return "\n".join(lines) + "\n"


def write_markdown(path: Path, record: Record) -> None:
    """Put the section of a model into a document: between its marks, or at the end where it has none yet."""
    write_between_marks(path, "bench", {record["model"]: markdown(record).rstrip("\n").split("\n")})
