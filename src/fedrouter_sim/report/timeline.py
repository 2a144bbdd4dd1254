"""When which task trained, as a figure: births, and tasks that sleep."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedrouter_sim.report.figures import GREY, Drawing, Mark, label, panels, svg_of
from fedrouter_sim.report.run_records import pool_label
from fedrouter_sim.runs.discovery import Discovery
from fedrouter_sim.runs.reader import Run

_HIGHEST = 12.0  # inches
_HALF = 0.36  # of a field's width and height


def timeline_figure(run: Run) -> Drawing | None:
    """Draw a field for each task and round, filled where the task trained; None where no task came or went."""
    found, rounds = run.discovery, run.rounds()
    if found is None or not rounds or not (found.births or found.sleeping):
        return None
    names = [pool.name for pool in run.pools]

    def draw(figure: Figure) -> None:
        [axes] = panels(figure, [1])
        _fields(axes, names, found, rounds)
        axes.set(xlabel="round", ylim=(-0.6, len(names) - 0.4))
        axes.set_yticks(range(len(names)), [label(pool_label(run, name), 26) for name in names])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(False)

    born = ", ".join(f"{one.task} in round {one.round}" for one in found.births) or "none"
    asleep = ", ".join(f"{one.task} since round {one.since}" for one in found.sleeping) or "none"
    return Drawing(
        "timeline",
        svg_of("timeline", min(1.0 + 0.3 * len(names), _HIGHEST), draw),
        f"Chart of the rounds in which each of {len(names)} tasks trained. Born later: {born}. Asleep: {asleep}.",
        "Which tasks trained in which round: a field is filled where clients trained the task, and empty where its "
        f"adapter was kept as it was. A star marks a birth, the dashed line the drift. Born later: {born}. Asleep at "
        f"the end, as no client has rows of them: {asleep}.",
    )


def _fields(axes: Axes, names: Sequence[str], found: Discovery, rounds: Sequence[dict[str, Any]]) -> None:
    born = {one.task: one.round for one in found.births}
    for place, name in enumerate(names):
        colour = Mark.of(place).colour
        for record in rounds:
            at = record["round"]
            if at < born.get(name, 1):
                continue
            face = colour if name in record["losses"] else "none"
            corners = [at - _HALF, at - _HALF, at + _HALF, at + _HALF]
            heights = [place - _HALF, place + _HALF, place + _HALF, place - _HALF]
            axes.fill(corners, heights, facecolor=face, edgecolor=colour, linewidth=0.8)
        if name in born:
            axes.plot(born[name], place, marker="*", color="black", markersize=7)
    changed = {one.round for one in found.births} | {one.since for one in found.sleeping}
    for at in sorted(changed):
        axes.axvline(at - 0.5, color=GREY, linestyle="--", linewidth=1, zorder=0)
