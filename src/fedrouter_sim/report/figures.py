"""How all figures look and how they become SVG: no pyplot, no fonts to fetch, same input same bytes.

The figures stack their panels and are narrow, so that they can be read at the width of a phone. Black is
written as `currentColor` and the ground is transparent in a page: text and axes follow the page's colours, light or
dark. A file of its own has a white ground.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 4.8  # inches
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe-Ito, without black and yellow
MARKERS = ("o", "s", "^", "D", "v", "P", "X")  # one more than colours: together they name 42 things
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1)))
GREY = "#808080"  # seen on white and on black

_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a task may be called "$"
    "font.sans-serif": ["DejaVu Sans"],
    "figure.dpi": 72,  # as an SVG has it: a pixel is a typographic point
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Drawing:
    """A finished figure. `name` is also its file's, without ending."""

    name: str
    svg: str
    alt: str  # what it shows, for those who do not see it
    caption: str  # what to see in it


@dataclass(frozen=True)
class Mark:
    """How the i-th of several things is drawn: by colour, marker and line style at once."""

    colour: str
    marker: str
    line: Any

    @classmethod
    def of(cls, index: int) -> "Mark":
        """Return the mark of the `index`-th thing."""
        return cls(COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)], LINES[index % len(LINES)])


def label(text: object, most: int = 24) -> str:
    """Return a user's word as it may stand in a figure: one line, at most `most` characters."""
    line = " ".join(_UNPRINTABLE.sub(" ", str(text)).split())
    short = line if len(line) <= most else line[: most - 1].rstrip() + "…"
    # matplotlib leaves out of a legend what begins with an underscore.
    return short if not short.startswith("_") else "\u2009" + short


def svg_of(name: str, height: float, draw: Callable[[Figure], None]) -> str:
    """Draw a figure of the usual width and return it as an SVG element, without XML declaration.

    Args:
        name: of the figure; it keeps the ids of two figures in one page apart.
        height: inches.
        draw: fills the empty figure, whose layout is 'constrained'.
    """
    return _cleaned(_drawn(name, height, draw))


def _drawn(name: str, height: float, draw: Callable[[Figure], None]) -> str:
    with matplotlib.rc_context(), warnings.catch_warnings():
        # The reader's fonts draw what matplotlib's own font has not.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()  # a user's own style would change the bytes
        matplotlib.rcParams.update(_SETTINGS | {"svg.hashsalt": name})
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return file.getvalue()


def panels(figure: Figure, heights: Sequence[float], **shared: Any) -> list[Axes]:
    """Return axes stacked from top to bottom, with relative heights."""
    return list(figure.subplots(len(heights), 1, squeeze=False, height_ratios=list(heights), **shared)[:, 0])


def legend_beside(axes: Axes, **options: Any) -> None:
    """Put the legend to the right of a panel, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), borderaxespad=0, handletextpad=0.4, **options)


def _cleaned(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # nothing refers to them, and two figures in a page would share them
    svg = re.sub(r"(stroke|fill): #000000", r"\1: currentColor", svg)
    opening, rest = svg.split(">", 1)
    ground = '<rect class="ground" width="100%" height="100%" fill="#ffffff"/>'
    style = 'fill="currentColor" stroke-linejoin="round" preserveAspectRatio="xMinYMin"'
    return f"{opening} {style}>\n {ground}{rest}"
