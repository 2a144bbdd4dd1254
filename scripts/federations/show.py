"""The table and the picture of what was measured in random federations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from marked_tables import markdown
from matplotlib.figure import Figure

from fedrouter_sim.report.figures import COLOURS, GREY, WIDTH
from fedrouter_sim.studies.comparison import Comparison
from fedrouter_sim.studies.gains import Estimate

Records = Sequence[Mapping[str, Any]]

AUTO = "auto"
TOLD = "told T"
ORACLE = "oracle"
TEST = ("all", "own")
COLUMNS = ("way", "ARI", "above the best told T by", "T right", "T within 1", "mean T found - true")
END_TO_END = ("split", "method", "all tasks", "to the oracle", "own tasks", "to the oracle")


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


def lines_of(records: Records) -> list[str]:
    """Return the table of a block as lines of Markdown."""
    return [f"{len(records)} federations:", "", *markdown(COLUMNS, rows_of(records))]


def end_to_end_rows(study: Comparison) -> list[tuple[str, ...]]:
    """Return a row of text for each split and way of the end-to-end plan: ROUGE-1 on all tasks and how it stands to the
    oracle, seed by seed, and the same on the clients' own tasks; 95% t-intervals over seeds."""
    rows = []
    for split in dict.fromkeys(split for split, _ in study.cells()):
        for method in (name for name in study.methods() if "/" not in name):  # by its own routing
            cells = [(study.estimate(method, split, data), study.gain(method, ORACLE, split, data)) for data in TEST]
            texts = [text for score, gain in cells for text in _against(score, gain.ratio if gain else None)]
            if any(texts):
                rows.append((split, method, *texts))
    return rows


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


def _against(score: Estimate | None, ratio: Estimate | None) -> tuple[str, str]:
    return _text(score) if score else "", _text(ratio) if ratio else ""


def _interval(values: Sequence[float], signed: bool = False) -> str:
    return _text(Estimate.of(values), "+" if signed else "")


def _text(found: Estimate, sign: str = "") -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:{sign}.3f}"
    return f"{found.mean:{sign}.3f} ({found.low:{sign}.3f} to {found.high:{sign}.3f})"
