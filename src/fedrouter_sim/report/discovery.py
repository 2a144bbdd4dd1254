"""How a run found its tasks, as its report shows it: in a sentence, as a figure and as a table."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.config.words import AUTO
from fedrouter_sim.report.figures import COLOURS, GREY, Drawing, Mark, label, panels, svg_of
from fedrouter_sim.report.page import Entry, Figures, Grid, Section
from fedrouter_sim.report.run_records import pool_label
from fedrouter_sim.report.tables import number
from fedrouter_sim.report.timeline import timeline_figure
from fedrouter_sim.routing import task_name
from fedrouter_sim.runs.births import said_of
from fedrouter_sim.runs.discovery import Discovery
from fedrouter_sim.runs.reader import Run

_CLIENTS = 8  # of a task in the table
_PIXELS = 800  # of the matrix's picture, about
_SINGLE = 120  # more units than these have no lines between them
_LEAST = 0.035  # share of the matrix that a block needs for its name to stand beside it


def discovery_section(run: Run) -> Section | None:
    """Return what the page says of how the tasks were found; None where they were not found by linking.

    Raises:
        UserError: a file of the run is damaged.
    """
    found = run.discovery
    if found is None:
        return None
    drawings = [drawing for drawing in (discovery_figure(run), timeline_figure(run)) if drawing]
    return Section(
        "How the tasks were found",
        [
            sentence(found, run.config.tasks),
            *(f"{said}." for said in said_of(found.births, found.sleeping)),
        ],
        [*([Figures(drawings)] if drawings else []), _table(run, found)],
    )


def sentence(found: Discovery, wanted: int | str) -> str:
    """Say why there are as many tasks as there are.

    Args:
        found: the tasks.
        wanted: `--tasks` of the run.
    """
    count = f"{len(found.tasks)} task{'s' * (len(found.tasks) != 1)}"
    if wanted != AUTO:
        return (
            f"Local clusters were linked by mean affinity ({found.affinity}) into {wanted} tasks, as --tasks says; "
            f"the cut between them lies at {found.linked.cut:.2f}."
        )
    said = f"Local clusters with a mean affinity ({found.affinity}) above {found.linked.cut:.3g} are one task: "
    if found.linked_tasks == len(found.tasks):
        said += f"{count}."
    else:
        said += (
            f"{found.linked_tasks}. When rows had gone to the tasks that their gradients are aligned with, and what "
            f"each client holds of a task had been linked again, {count} remained."
        )
    joined, apart = found.linked.around_cut()
    if joined is not None:
        said += f" The last that were joined are alike by {joined:.2f}."
    if apart is not None:
        said += f" The next would be at {apart:.2f}."
    if (alike := found.linked.unrelated) is not None and found.linked.wanted is not None:
        above = found.linked.wanted - alike
        said += f" To the backbone, unrelated tasks are alike by {alike:.2f}, and the cut is {above:.3g} above that."
    return said


def discovery_figure(run: Run) -> Drawing | None:
    """Draw the affinities of all units in the order of their dendrogram, which stands above with the cut through it;
    None where there is a single unit."""
    found = run.discovery
    if found is None or len(found.linked.affinity) < 2:
        return None
    linked, tasks = found.linked, found.linked.unit_tasks
    order, lines, owners = dendrogram(linked)

    def draw(figure: Figure) -> None:
        above, matrix = panels(figure, [0.36, 1], sharex=True)
        _tree(above, linked, lines, owners)
        _matrix(matrix, linked.affinity[np.ix_(order, order)], tasks[order])
        _strip(matrix, run, tasks[order])
        _scale(matrix.inset_axes((1.04, 0.0, 0.03, 0.5)))

    units = len(linked.affinity)
    what = "local clusters" if units == len(linked.labels) else f"groups of {len(linked.labels)} local clusters"
    return Drawing(
        "discovery",
        svg_of("discovery", 5.2, draw),
        f"Heat map of the affinities of {units} {what}, in the order of the dendrogram above it, which is cut at an "
        f"affinity of {linked.cut:.2f}: {found.linked_tasks} tasks.",
        f"Affinity ({found.affinity}) of each of the {units} {what} to each, all clients together. The dendrogram says "
        "at which mean affinity they join; what joins below the dashed line of the cut, nearer to 1, is one task, in "
        "the colour of its task. The strip on the left has the task of most of its rows in the end. Full squares on a "
        "faint ground mean that the tasks are plain; the nearer the joints lie to the line, the more the number of "
        "tasks hangs on the cut.",
    )


def dendrogram(linked: Linked) -> tuple[list[int], NDArray[np.float64], list[int | None]]:
    """Lay a tree out, the branch with the first unit to the left at every joint.

    Returns:
        The units from left to right; of each joint the four corners of its bracket, (u - 1, 4, 2), as place and
        affinity; and the task, where all below is one task and joined above the cut, else None.
    """
    tasks, count = linked.unit_tasks.tolist(), len(linked.affinity)
    below: list[list[int]] = [[unit] for unit in range(count)]
    owner: list[int | None] = list(tasks)
    sides: list[tuple[int, int]] = []
    for nodes, within in zip(linked.tree[:, :2].astype(int).tolist(), linked.within_cut.tolist(), strict=True):
        pair = sorted(nodes, key=lambda node: min(below[node]))
        sides.append((pair[0], pair[1]))
        below.append(below[pair[0]] + below[pair[1]])
        joined = owner[pair[0]] == owner[pair[1]] and within
        owner.append(owner[pair[0]] if joined else None)
    order = below[-1]
    place = {unit: float(position) for position, unit in enumerate(order)}
    spots = [(place[unit], 1.0) for unit in range(count)]
    brackets = []
    for (left, right), height in zip(sides, linked.tree[:, 2].tolist(), strict=True):
        (x, y), (to_x, to_y), top = spots[left], spots[right], 1 - height
        brackets.append([(x, y), (x, top), (to_x, top), (to_x, to_y)])
        spots.append(((x + to_x) / 2, top))
    return order, np.array(brackets).reshape(-1, 4, 2), owner[count:]


def _tree(axes: Axes, linked: Linked, lines: NDArray[np.float64], owners: Sequence[int | None]) -> None:
    colours = ["black" if task is None else Mark.of(task).colour for task in owners]
    width = 1.1 if len(linked.affinity) <= _SINGLE else 0.5
    axes.add_collection(LineCollection(list(lines), colors=colours, linewidths=width, capstyle="butt"))
    lowest = float(min(lines[:, :, 1].min(), linked.cut))
    axes.axhline(linked.cut, color="black", linestyle="--", linewidth=1)
    axes.text(1.01, linked.cut, f"cut {linked.cut:.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=9)
    axes.set_ylim(1, lowest - 0.06 * (1 - lowest))  # what is alike joins below
    axes.set_ylabel("mean affinity")
    axes.tick_params(axis="x", bottom=False, labelbottom=False)
    axes.spines["bottom"].set_visible(False)
    axes.grid(False)


def _matrix(axes: Axes, affinity: Floats, tasks: Ints) -> None:
    count = len(affinity)
    times = -(-_PIXELS // count)  # each field is several pixels, so that no viewer blurs them
    picture = np.repeat(np.repeat(coloured(affinity), times, axis=0), times, axis=1)
    axes.imshow(picture, extent=(-0.5, count - 0.5, count - 0.5, -0.5), interpolation="none", aspect="auto")
    for edge in np.flatnonzero(np.diff(tasks)) + 0.5:
        axes.axhline(edge, color=GREY, linewidth=0.6 if count <= _SINGLE else 0.4)
        axes.axvline(edge, color=GREY, linewidth=0.6 if count <= _SINGLE else 0.4)
    axes.set(xlim=(-0.5, count - 0.5), ylim=(count - 0.5, -0.5))
    axes.tick_params(bottom=False, left=False, labelbottom=False, labelleft=False)
    axes.grid(False)


def coloured(affinity: Floats) -> NDArray[np.uint8]:
    """Return the colour of affinities, (..., 4): blue above 0 and orange below, the stronger the less transparent, so
    that it can be read on a dark page and on a light one."""
    above, below = (np.array(to_rgba(colour)) * 255 for colour in COLOURS[:2])
    found = np.where((affinity >= 0)[..., None], above, below)
    found[..., 3] = 255 * np.abs(np.clip(affinity, -1, 1))
    return np.asarray(np.round(found), dtype=np.uint8)


def _strip(axes: Axes, run: Run, tasks: Ints) -> None:
    """Draw the task of each unit to the left of its row, with its name where there is room."""
    start, named, names = 0, [], []
    for task, units in groupby(tasks.tolist()):
        size = len(list(units))
        block = Rectangle((-0.05, start - 0.5), 0.035, size, color=Mark.of(task).colour, linewidth=0, clip_on=False)
        block.set_transform(axes.get_yaxis_transform())
        axes.add_patch(block)
        if size / len(tasks) >= _LEAST:
            named.append(start + (size - 1) / 2)
            # The task that a label names stands below the adapter's: the matrix needs the width.
            name = label(pool_label(run, task_name(task)), 26)
            names.append(name.replace(" (", "\n(", 1) if size / len(tasks) >= 2 * _LEAST else name)
        start += size
    axes.set_yticks(named, names)
    axes.tick_params(axis="y", left=False, labelleft=True, pad=15)


def _scale(axes: Axes) -> None:
    values = np.repeat(np.linspace(1, -1, 101, dtype=np.float32)[:, None], 4, axis=1)
    axes.imshow(coloured(values), extent=(0, 1, -1, 1), interpolation="none", aspect="auto")
    axes.yaxis.tick_right()
    axes.set(yticks=[-1, 0, 1], ylabel="affinity")
    axes.yaxis.set_label_position("right")
    axes.tick_params(bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.grid(False)


def _table(run: Run, found: Discovery) -> Grid:
    rows = []
    for task, one in enumerate(found.tasks):
        clients = ", ".join(map(str, list(one.clients)[:_CLIENTS])) + ", ..." * (len(one.clients) > _CLIENTS)
        fields = [str(one.rows), clients, str(one.local_clusters), number(one.within, 2), number(one.to_other, 2)]
        rows.append([Entry(pool_label(run, task_name(task))), *map(Entry, fields)])
    heads = ("Task", "Rows", "Clients", "Local clusters", "Lowest within", "Highest to another")
    return Grid("The tasks, who holds them, and the mean affinities that part them", heads, rows)
