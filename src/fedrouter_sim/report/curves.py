"""Curves of a comparison: what every method scored against a number that differs from run to run."""

import re
from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from fedrouter_sim.evaluation.metrics import LOSS
from fedrouter_sim.report.figures import Drawing, Mark, label, legend_beside, panels, svg_of
from fedrouter_sim.report.tables import number
from fedrouter_sim.studies.comparison import Comparison, Entry, Score

Curves = Mapping[str, Sequence[tuple[int, float]]]
"""Method -> (the number, a score), a pair a run, by the number."""

_FAR = 4  # so many times the least loss is the largest where an axis is logarithmic


def curves_figure(
    comparison: Comparison, kind: str, curves: Mapping[str, Curves], axis: str, told: tuple[str, str]
) -> Drawing:
    """Draw a panel for each entry of `curves`, over one logarithmic axis.

    Args:
        comparison: the runs, for their metric.
        kind: what the figure's name begins with.
        curves: title of a panel -> the curves in it.
        axis: what the number is.
        told: what follows the name of the metric, and against what it stands; for the text of the figure.
    """
    metric = comparison.metric
    name = kind + (f"-{LOSS}" if metric.name == LOSS else "")
    methods = list(dict.fromkeys(method for panel in curves.values() for method in panel))
    what, against = told

    def draw(figure: Figure) -> None:
        stacked = panels(figure, [1] * len(curves), sharex=True)
        lines = {}  # by method, one of them
        for axes, (title, panel) in zip(stacked, curves.items(), strict=True):
            for method, pairs in panel.items():
                mark = Mark.of(methods.index(method))
                axes.plot(*zip(*pairs, strict=True), linestyle="none", marker=mark.marker, color=mark.colour, alpha=0.4)
                means = zip(*_means(pairs), strict=True)
                lines[method] = axes.plot(*means, linestyle=mark.line, color=mark.colour, label=_legend(method))[0]
            axes.set_title(label(f"{title}: {metric.title}", 60))
            if metric.name == LOSS:
                _spread(axes, [score for pairs in panel.values() for _, score in pairs])
        legend_beside(stacked[0], handles=[lines[method] for method in methods])
        stacked[-1].set_xscale("log")
        stacked[-1].set_xticks(_ticks(curves), [f"{tick:,}" for tick in _ticks(curves)])
        stacked[-1].xaxis.set_minor_locator(NullLocator())
        stacked[-1].set_xlabel(axis)

    return Drawing(
        name,
        svg_of(name, 0.5 + 1.9 * len(curves), draw),
        f"{metric.title}{what} against {axis}: "
        + "; ".join(
            f"{title}: "
            + ", ".join(
                f"{method} " + " ".join(f"{number(score)} at {place:,}" for place, score in _means(pairs))
                for method, pairs in panel.items()
            )
            for title, panel in curves.items()
        ),
        f"{metric.title}{what}, against {against}. A point is a run, a line joins the means of those alike in it.",
    )


def own_scores(entry: Entry) -> list[Score]:
    """Return a run's scores under its own routing: those under others stand in tables, and would hide the curves."""
    return [score for score in entry.scores if score.method == entry.method]


def name_without(settings: Sequence[str], method: str, entry: Entry) -> str:
    """Return a method's name without settings that a figure has as its axis."""
    for setting in settings:
        told = r"(?<!\w)" + re.escape(f"{setting}={entry.settings.get(setting)}")
        method = re.sub(rf" \({told}\)|{told}, |, {told}(?=[,)])", "", method, count=1)
    return method


def _spread(axes: Axes, losses: Sequence[float]) -> None:
    """Draw losses over a logarithmic axis if they are far apart: one that overfits would flatten all others."""
    if 0 < _FAR * min(losses) < max(losses):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())


def _legend(method: str) -> str:
    """Return a method's name for the legend, its settings on a line of their own."""
    name, bracket, settings = method.partition(" (")
    return label(name, 26) + (f"\n{label(f'({settings}', 26)}" if bracket else "")


def _ticks(curves: Mapping[str, Curves]) -> list[int]:
    """Return places that were there, and whose names do not meet on a logarithmic axis."""
    ticks: list[int] = []
    for place in sorted({place for panel in curves.values() for pairs in panel.values() for place, _ in pairs}):
        if not ticks or place >= 1.6 * ticks[-1]:
            ticks.append(place)
    return ticks


def _means(pairs: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    return [
        (place, fmean(score for other, score in pairs if other == place)) for place in sorted({p for p, _ in pairs})
    ]
