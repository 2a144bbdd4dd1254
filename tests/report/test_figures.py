"""How figures look: names that cannot break them, marks that differ without colour, the same bytes each time."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from fedrouter_sim.report.figures import COLOURS, MARKERS, Mark, label, legend_beside, svg_of


def drawn(name: str = "x", word: str = "a & b < c $d$ 任务") -> str:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="black", marker="o", label=label(word))
        legend_beside(axes)

    return svg_of(name, 2, draw)


def test_the_same_figure_has_the_same_bytes() -> None:
    assert drawn() == drawn()


def test_a_figure_is_svg_whose_words_are_text_and_whose_black_follows_the_page() -> None:
    svg = drawn()
    texts = ["".join(element.itertext()).strip() for element in ElementTree.fromstring(svg).iter() if element.text]
    assert "a & b < c $d$ 任务" in texts
    assert "#000000" not in svg and "currentColor" in svg
    assert "metadata" not in svg and "<style" not in svg


def test_two_figures_share_no_id() -> None:
    one, two = (set(re.findall(r'id="([^"]+)"', drawn(name))) for name in ("one", "two"))
    assert one and not one & two


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand\x00more", "two lines and more"),
        ("_hidden", "\u2009_hidden"),
        ("x" * 30, "x" * 23 + "…"),
        (7, "7"),
    ],
)
def test_label(word: object, shown: str) -> None:
    assert label(word) == shown


def test_marks_differ_without_colour_before_they_repeat() -> None:
    many = [Mark.of(index) for index in range(len(COLOURS) * len(MARKERS))]
    assert len({(mark.colour, mark.marker) for mark in many}) == len(many)
    assert len({mark.marker for mark in many[:7]}) == len({str(mark.line) for mark in many[:7]}) == 7
