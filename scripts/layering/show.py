"""The table and the picture of what was measured: score against seconds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from marked_tables import markdown
from matplotlib.figure import Figure

from fedrouter_sim.report.figures import COLOURS, WIDTH
from layering.grid import LAYERS, SEEDS, TARGETS

Records = Sequence[Mapping[str, Any]]

COLUMNS = (
    "upper layers",
    "modules",
    "steps",
    "lr",
    "ROUGE-1",
    "loss",
    "training seconds",
    "best for its time",
    "seeds",
)


def best_rates(records: Records) -> dict[str, float]:
    """Return the learning rate with the lowest last validation loss for each choice of modules that was tuned."""
    found: dict[str, float] = {}
    for targets in TARGETS:
        own = [one for one in records if one["targets"] == targets]
        if own:
            found[targets] = min(own, key=lambda one: one["measured"][-1]["loss"])["lr"]
    return found


def of_whole_seeds(records: Records) -> list[Mapping[str, Any]]:
    """Return the records of the seeds that every way has: means over other seeds are not to be compared."""
    ways = {(one["layers"], one["targets"]) for one in records}
    seeds = {
        seed for seed in SEEDS if {(one["layers"], one["targets"]) for one in records if one["seed"] == seed} == ways
    }
    return [one for one in records if one["seed"] in seeds]


def points(records: Records) -> list[dict[str, Any]]:
    """Return the mean over seeds of each way and number of steps, by the time that it took; `leads` says whether
    nothing that took as little time has a lower loss."""
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for record in records:
        if record["seed"] in SEEDS:
            for point in record["measured"]:
                way = (record["layers"], record["targets"], point["steps"], record["lr"])
                groups.setdefault(way, []).append(point)
    found = []
    for (layers, targets, steps, lr), own in groups.items():
        means = {name: fmean(one[name] for one in own) for name in ("score", "loss", "seconds")}
        names = {"layers": layers, "targets": targets, "steps": steps, "lr": lr, "seeds": len(own)}
        found.append(names | means)
    found.sort(key=lambda one: one["seconds"])
    lowest = float("inf")
    for one in found:
        one["leads"] = one["loss"] < lowest
        lowest = min(lowest, one["loss"])
    return found


def lines_of(records: Records) -> list[str]:
    """Return the table as lines of Markdown."""
    rows = [
        (
            str(one["layers"] or "all"),
            one["targets"],
            str(one["steps"]),
            f"{one['lr']:g}",
            f"{one['score']:.3f}",
            f"{one['loss']:.3f}",
            f"{one['seconds']:.0f}",
            "yes" if one["leads"] else "",
            str(one["seeds"]),
        )
        for one in points(records)
    ]
    return markdown(COLUMNS, rows, names=2)


def write_figure(path: Path, records: Records) -> None:
    """Draw validation score and loss against training seconds, a line for each way; as SVG."""
    figure = Figure(figsize=(WIDTH * 1.5, 3.2), layout="constrained")
    panels = figure.subplots(1, 2)
    shown = points(records)
    for place, layers in enumerate(LAYERS):
        for targets, line in zip(TARGETS, ("--", "-"), strict=True):
            own = [one for one in shown if (one["layers"], one["targets"]) == (layers, targets)]
            for axes, name in zip(panels, ("score", "loss"), strict=True):
                axes.plot(
                    [one["seconds"] for one in own],
                    [one[name] for one in own],
                    line,
                    marker="o",
                    markersize=3,
                    color=COLOURS[place],
                    label=f"{layers or 'all'} layers, {targets}",
                )
    for axes, title in zip(panels, ("ROUGE-1 on validation rows", "loss on validation rows"), strict=True):
        axes.set_xscale("log")
        axes.set_xlabel("training seconds")
        axes.set_title(title)
    panels[0].legend(fontsize=6)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="svg", metadata={"Date": None})
