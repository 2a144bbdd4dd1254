"""The table and the picture of what was measured in random federations."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from fedrouter_sim.report.figures import COLOURS, GREY, WIDTH
from fedrouter_sim.storage import write_text
from fedrouter_sim.studies.comparison import Estimate

Records = Sequence[Mapping[str, Any]]

AUTO = "auto"
TOLD = "told T"
_COLUMNS = ("way", "ARI", "above the best told T by", "T right", "T within 1", "mean T found - true")


def rows_of(records: Records) -> list[tuple[str, ...]]:
    """Return a row of text for each way: mean ARI with its 95% t-interval, how it differs from the told k-means that is
    best on average, federation by federation, and how often the number of tasks is right."""
    ways = list(records[0]["ways"]) if records else []
    told = max((way for way in ways if way.startswith(TOLD)), key=lambda way: sum(_aris(records, way)), default=None)
    rows: list[tuple[str, ...]] = []
    for way in ways:
        values = _aris(records, way)
        above = [a - b for a, b in zip(values, _aris(records, told), strict=True)] if told else []
        errors = [record["ways"][way]["tasks"] - record["tasks"] for record in records]
        rows.append(
            (
                way,
                _interval(values),
                _interval(above, signed=True) if told and way != told else "",
                f"{_share(errors, 0):.2f}",
                f"{_share(errors, 1):.2f}",
                f"{sum(errors) / len(errors):+.2f}",
            )
        )
    return rows


def table(name: str, records: Records) -> Table:
    """Return the table of a block for the terminal."""
    shown = Table(title=f"{name}: {len(records)} random federations", title_justify="left")
    for number, column in enumerate(_COLUMNS):
        shown.add_column(column, justify="left" if number == 0 else "right")
    for row in rows_of(records):
        shown.add_row(*row)
    return shown


def write_tables(path: Path, blocks: Mapping[str, Records]) -> None:
    """Put the table of each block into a document: between its marks, or at the end where it has none yet."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for name, records in blocks.items():
        begin, end = f"<!-- discovery {name} -->", f"<!-- end of discovery {name} -->"
        lines = ["| " + " | ".join(_COLUMNS) + " |", "|---" + "|---:" * (len(_COLUMNS) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows_of(records)]
        section = "\n".join([begin, f"{len(records)} federations:", "", *lines, "", end])
        marks = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        text = marks.sub(lambda _, new=section: new, text) if marks.search(text) else f"{text}\n{section}\n"  # type: ignore[misc]  # the default binds it
    write_text(path, text)


def write_figure(path: Path, blocks: Mapping[str, Records]) -> None:
    """Draw each way's ARI, a point a federation, with its mean, a panel a block; as SVG."""
    blocks = {name: records for name, records in blocks.items() if records}
    figure = Figure(figsize=(WIDTH * 1.5, 2.6 * max(1, len(blocks))), layout="constrained")
    for axes, (name, records) in zip(
        figure.subplots(max(1, len(blocks)), 1, squeeze=False)[:, 0], blocks.items(), strict=False
    ):
        ways = list(records[0]["ways"])[::-1]
        for place, way in enumerate(ways):
            values = _aris(records, way)
            spread = [place + 0.3 * ((7 * number) % 11 / 10 - 0.5) for number in range(len(values))]
            colour = COLOURS[0] if way == AUTO else GREY
            axes.plot(values, spread, ".", color=colour, alpha=0.35, markersize=4, rasterized=True)
            axes.plot(sum(values) / len(values), place, "D", color=COLOURS[1], markersize=5)
        axes.set_yticks(range(len(ways)), ways)
        axes.set_xlim(min(-0.02, *(value for way in ways for value in _aris(records, way))), 1.02)
        axes.set_title(f"{name}: ARI of rows with their true tasks (diamond: mean)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _aris(records: Records, way: str) -> list[float]:
    return [float(record["ways"][way]["ari"]) for record in records]


def _share(errors: Sequence[int], most: int) -> float:
    return sum(abs(error) <= most for error in errors) / len(errors)


def _interval(values: Sequence[float], signed: bool = False) -> str:
    found, sign = Estimate.of(values), "+" if signed else ""
    if found.low is None or found.high is None:
        return f"{found.mean:{sign}.3f}"
    return f"{found.mean:{sign}.3f} ({found.low:{sign}.3f} to {found.high:{sign}.3f})"
