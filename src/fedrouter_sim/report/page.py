"""A page as a list of sections, rendered into one self-contained HTML file. Jinja2 escapes every text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import ClassVar

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from fedrouter_sim.report.figures import Drawing
from fedrouter_sim.showing import plain


@dataclass(frozen=True)
class Entry:
    """One field of a table."""

    text: str
    best: bool = False


@dataclass(frozen=True)
class Grid:
    """A table: the first column names the rows. A folded one is shown on demand."""

    kind: ClassVar[str] = "grid"
    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    folded: bool = False


@dataclass(frozen=True)
class Example:
    """One routed test sample."""

    heading: str
    facts: Sequence[tuple[str, str]]  # 'adapter' -> 'task_0', ...
    texts: Sequence[tuple[str, str]]  # 'input' -> ..., 'answer' -> ..., 'reference' -> ...


@dataclass(frozen=True)
class Examples:
    """Some routed test samples."""

    kind: ClassVar[str] = "examples"
    shown: Sequence[Example]


@dataclass(frozen=True)
class Statement:
    """A claim and what became of it."""

    says: str
    verdict: str
    sign: str  # of the verdict, beside its colour
    details: str


@dataclass(frozen=True)
class Statements:
    """Some claims."""

    kind: ClassVar[str] = "statements"
    shown: Sequence[Statement]


@dataclass(frozen=True)
class Figures:
    """Some figures, inline."""

    kind: ClassVar[str] = "figures"
    shown: Sequence[Drawing]


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it."""

    heading: str
    text: Sequence[str] = ()  # paragraphs
    blocks: Sequence[Grid | Examples | Statements | Figures] = field(default=())


def rendered(title: str, lead: Sequence[str], sections: Sequence[Section]) -> str:
    """Return a page as HTML. Only the SVG of figures goes in as it is: it is made by us.

    Args:
        title: of the page.
        lead: paragraphs under it.
        sections: in order.
    """
    return _template().render(title=title, lead=lead, sections=sections, markup=Markup) + "\n"


def _plain(value: object) -> object:
    """Return what is put into a page with its controls and overrides of direction written out."""
    return plain(value) if type(value) is str else value


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_plain
    )
    return environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
