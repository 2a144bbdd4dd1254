"""The figures of a comparison."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from fedrouter_sim.evaluation.metrics import LOSS
from fedrouter_sim.partition.test_data import ALL
from fedrouter_sim.report.budget_figure import budget_figure
from fedrouter_sim.report.figures import COLOURS, GREY, Drawing, Mark, label, panels, svg_of
from fedrouter_sim.report.rows_figure import rows_figure
from fedrouter_sim.report.tables import number
from fedrouter_sim.studies.comparison import Comparison, Cost

COMMON = ALL  # the test data that cost is held against

_CostOf = Callable[[Cost], float]
COSTS: tuple[tuple[str, _CostOf], ...] = (
    ("sent up, MiB", lambda cost: cost.bytes_up / 2**20),
    ("optimiser steps", lambda cost: cost.optimizer_steps),
)


def comparison_figures(comparison: Comparison) -> dict[str, str]:
    """Return the figures as SVG by name, which is a file's without ending."""
    return {drawing.name: drawing.svg for drawing in comparison_drawings(comparison)}


def comparison_drawings(comparison: Comparison) -> list[Drawing]:
    """Draw, for every split, the scores of all methods in its cells, and cost against score; then scores against the
    steps of a client, and those of tasks against their rows. All by token loss as well."""
    views = [(view, split) for view in comparison.views for split in dict.fromkeys(s for s, _ in view.cells())]
    drawings = [scores_figure(view, split) for view, split in views]
    costs = [cost_figure(view, split) for view, split in views]
    curves = [draw(view) for draw in (budget_figure, rows_figure) for view in comparison.views]
    return [*drawings, *(drawing for drawing in (*costs, *curves) if drawing is not None)]


def scores_figure(comparison: Comparison, split: str) -> Drawing:
    """Draw a panel for each test data of a split: every method's mean, its interval and its single seeds."""
    cells = [data for where, data in comparison.cells() if where == split]
    scored = {
        data: [method for method in comparison.methods() if comparison.select(method, split, data)] for data in cells
    }
    heights = [1.6 + len(methods) for methods in scored.values()]
    title = comparison.metric.title
    name = _name("scores", split, comparison)

    def draw(figure: Figure) -> None:
        for axes, (data, methods) in zip(panels(figure, heights, sharex=True), scored.items(), strict=True):
            _score_panel(axes, comparison, split, data, methods)
        axes.set_xlabel(f"{title}, {comparison.metric.averaged}")

    return Drawing(
        name,
        svg_of(name, 0.5 + 0.24 * sum(heights), draw),
        f"Dot plots of {title} with 95% intervals on split {split}, one panel each for the test data "
        f"{', '.join(cells)}: "
        + "; ".join(_told(comparison, split, data, methods) for data, methods in scored.items()),
        f"{title} on split {split}. The large mark is the mean over seeds, the line its 95% interval, the small rings "
        "below it are single seeds, and a thin line above it is the interval over test samples; the star is "
        "the best mean of those with all seeds. Where two lines overlap widely, "
        "the methods cannot be told apart by this figure; the claims set them against each other seed by seed, which "
        "is sharper.",
    )


def _told(comparison: Comparison, split: str, data: str, methods: Sequence[str]) -> str:
    found = [(method, estimate.mean) for method in methods if (estimate := comparison.estimate(method, split, data))]
    return f"{data}: " + ", ".join(f"{method} {mean:.3f}" for method, mean in found)


def _score_panel(axes: Axes, comparison: Comparison, split: str, data: str, methods: Sequence[str]) -> None:
    found = {method: estimate for method in methods if (estimate := comparison.estimate(method, split, data))}
    estimates = found.values()
    all_seeds = max(estimate.seeds for estimate in estimates)
    best = number(comparison.metric.best([e.mean for e in estimates if e.seeds == all_seeds]))
    for y, (method, estimate) in enumerate(found.items()):
        seeds = [score.mean for score in comparison.select(method, split, data)]
        axes.plot(seeds, [y + 0.27] * len(seeds), linestyle="none", marker="o", markersize=3, markerfacecolor="none",
                  markeredgecolor=GREY, markeredgewidth=0.7)  # fmt: skip
        if estimate.low is not None and estimate.high is not None:
            axes.plot([estimate.low, estimate.high], [y, y], color=COLOURS[0], linewidth=2.2, solid_capstyle="butt")
        if (over := comparison.over_samples(method, split, data)) is not None:
            axes.plot([over.low, over.high], [y - 0.22, y - 0.22], color=GREY, linewidth=1, solid_capstyle="butt")
        top = estimate.seeds == all_seeds and number(estimate.mean) == best
        axes.plot(estimate.mean, y, linestyle="none", marker="*" if top else "o", markersize=10 if top else 6,
                  color=COLOURS[1] if top else COLOURS[0], markeredgecolor="none")  # fmt: skip
        # The number stands beside the axis: inside, it would hide what it tells.
        axes.text(1.02, y, number(estimate.mean), transform=axes.get_yaxis_transform(), va="center", fontsize=9,
                  fontweight="bold" if top else "normal")  # fmt: skip
    axes.set_yticks(range(len(methods)), [label(method, 20) for method in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)
    axes.set_title(label(f"split {split}, test data {data}", 60))


@dataclass(frozen=True)
class _Point:
    method: str
    cost: float
    score: float


def cost_figure(comparison: Comparison, split: str) -> Drawing | None:
    """Draw what each method sent and computed against its score on all tasks; None without such scores."""
    methods = [method for method in comparison.methods() if comparison.select(method, split, COMMON)]
    if not methods:
        return None
    clouds = {title: [_point(comparison, m, split, cost_of) for m in methods] for title, cost_of in COSTS}
    name = _name("cost", split, comparison)

    def draw(figure: Figure) -> None:
        stacked = panels(figure, [1] * len(clouds))
        for axes, (title, points) in zip(stacked, clouds.items(), strict=True):
            for index, point in enumerate(points):
                mark = Mark.of(index)
                axes.plot(
                    point.cost, point.score, linestyle="none", marker=mark.marker, color=mark.colour, markersize=6
                )
            axes.set(xlabel=title, ylabel=f"{comparison.metric.title}, all tasks")
            axes.margins(y=0.12)
            highest = max(point.cost for point in points) or 1.0
            axes.set_xlim(-0.08 * highest, 1.25 * highest)  # room for names, but none for negative costs
        stacked[0].set_title(label(f"split {split}", 60))
        figure.draw_without_rendering()  # settles the layout, so that the labels know their places
        for axes, points in zip(stacked, clouds.values(), strict=True):
            _name_points(axes, points)

    return Drawing(
        name,
        svg_of(name, 6.6, draw),
        f"Scatter plots of cost against {comparison.metric.title} on all tasks, split {split}: "
        + "; ".join(
            f"{title}: " + ", ".join(f"{p.method} {p.cost:,.1f} for {p.score:.3f}" for p in points)
            for title, points in clouds.items()
        ),
        f"What each method spent against what it scored on all tasks, split {split}, means over seeds. "
        f"{'Up' if comparison.metric.higher_is_better else 'Down'} and to the left is better. "
        "Methods one above the other spent the same.",
    )


def _point(comparison: Comparison, method: str, split: str, cost_of: _CostOf) -> _Point:
    runs = [
        (cost_of(entry.cost), score.mean)
        for entry in comparison.entries
        for score in entry.scores
        if (score.method, score.split, score.test_data) == (method, split, COMMON)
    ]
    return _Point(method, fmean(cost for cost, _ in runs), fmean(score for _, score in runs))


@dataclass(frozen=True)
class _Place:
    """Where a name may stand, in typographic points from its point."""

    right: float
    up: float

    @property
    def far(self) -> float:
        """How far off it is; to the side is better than above or below."""
        return abs(self.right) + 1.5 * abs(self.up)

    @property
    def needs_line(self) -> bool:
        """Whether it is so far up or down that a line must lead to it."""
        return abs(self.up) > 6

    def box(self, x: float, y: float, width: float, height: float) -> Bbox:
        """Return the box of a name of some size at the point (x, y)."""
        left = x + self.right - (width if self.right < 0 else 0)
        return Bbox.from_bounds(left, y + self.up - height / 2, width, height)


_PLACES = sorted(
    (_Place(right, up) for right in (8, -8, 20, -20, 34, -34) for up in range(-72, 73, 6)),
    key=lambda place: (place.far, -place.right, -place.up),
)


def _name_points(axes: Axes, points: Sequence[_Point]) -> None:
    """Write each method's name at its point: at the nearest place where it meets no other name and no point.

    The layout of the figure is settled and its pixels are typographic points (72 dpi).
    """
    spots = [(float(x), float(y)) for x, y in axes.transData.transform([(p.cost, p.score) for p in points])]
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in spots]
    frame = axes.get_window_extent()
    for point, (x, y) in sorted(zip(points, spots, strict=True), key=lambda pair: (-pair[1][1], pair[0].method)):
        text = axes.annotate(
            label(point.method, 20), (point.cost, point.score), (0, 0), textcoords="offset points", va="center"
        )
        size = text.get_window_extent()
        boxes = [(place, place.box(x, y, size.width, size.height)) for place in _PLACES]
        inside = [
            (place, box)
            for place, box in boxes
            if frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        ]
        place, box = min(inside or boxes, key=lambda pair: sum(pair[1].overlaps(other) for other in taken))
        taken.append(box)
        text.set(position=(place.right, place.up), horizontalalignment="right" if place.right < 0 else "left")
        if place.needs_line:
            line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
            axes.annotate(
                "", (point.cost, point.score), (place.right, place.up), textcoords="offset points", arrowprops=line
            )


def _name(kind: str, split: str, comparison: Comparison) -> str:
    if comparison.metric.name == LOSS:
        kind += f"-{LOSS}"
    return f"{kind}-" + (re.sub(r"[^a-z0-9]+", "-", split.lower()).strip("-") or "split")
