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

_FAR = 4
"""Losses are drawn over a logarithmic axis if the largest is more than so many times the least: one that overfits would
flatten all others."""


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
    scores = [score for panel in curves.values() for pairs in panel.values() for _, score in pairs]
    far = metric.name == LOSS and 0 < _FAR * min(scores) < max(scores)

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
            if far:
                _logarithmic(axes)
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
        f"{metric.title}{what}, against {against}. A point is a run, a line joins means of runs at the same place."
        + " Losses are over a logarithmic axis." * far,
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


def _logarithmic(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _legend(method: str) -> str:
    """Return a method's name for the legend, each of its settings on a line of its own."""
    return "\n".join(label(line, 26) for line in method.replace(" (", "\n(").replace(", ", ",\n").split("\n"))


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
