"""Curves of a comparison: whose they are, how they are named, and over which axis."""

from dataclasses import replace

import pytest

from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.report.curves import Curves, curves_figure, name_without, own_scores
from fedrouter_sim.studies.comparison import Comparison


def drawn(comparison: Comparison, curves: Curves, metric: str = "loss") -> str:
    """The SVG of a figure with one panel."""
    by_metric = replace(comparison, metric=find_metric(metric))
    return curves_figure(by_metric, "kind", {"panel": curves}, "steps", ("", "them")).svg


def test_a_setting_is_told_from_one_that_ends_like_it(comparison: Comparison) -> None:
    entry = replace(comparison.entries[0], settings={"rounds": 2})
    assert name_without(("rounds",), "ditto (rounds=2, warmup_rounds=2)", entry) == "ditto (warmup_rounds=2)"
    assert name_without(("rounds",), "ditto (tasks=4, warmup_rounds=2)", entry) == "ditto (tasks=4, warmup_rounds=2)"
    assert name_without(("rounds",), "ditto (warmup_rounds=2, rounds=2)", entry) == "ditto (warmup_rounds=2)"


def test_scores_under_another_routing_than_the_runs_own_are_no_curve(comparison: Comparison) -> None:
    [entry, *_] = (entry for entry in comparison.entries if entry.method == "fedrouter")
    assert {score.method for score in entry.scores} == {"fedrouter", "fedrouter/local"}
    assert {score.method for score in own_scores(entry)} == {"fedrouter"}


def test_every_setting_of_a_method_has_a_line_of_its_own_in_the_legend(comparison: Comparison) -> None:
    alike = ["fedrouter (sharing=affinity, tasks=4)", "fedrouter (sharing=affinity, tasks=auto)"]
    svg = drawn(comparison, {method: [(10, place)] for place, method in enumerate(alike, 1)})
    assert svg.count(">fedrouter<") == 2 and ">tasks=4)<" in svg and ">tasks=auto)<" in svg


def test_methods_whose_names_are_cut_alike_have_an_entry_each(comparison: Comparison) -> None:
    alike = [f"a name that is longer than what is shown of it {value}" for value in (1, 2)]
    assert drawn(comparison, {name: [(10, 1.0)] for name in alike}).count(">a name that is longer") == 2


@pytest.mark.parametrize(
    ("least", "largest", "logarithmic"), [(0.2, 4.0, True), (0.2, 0.81, True), (0.2, 0.79, False), (0.0, 4.0, False)]
)
def test_losses_that_are_far_apart_are_over_a_logarithmic_axis(
    comparison: Comparison, least: float, largest: float, logarithmic: bool
) -> None:
    by_loss = replace(comparison, metric=find_metric("loss"))
    curves = {"one": {"local": [(10, least), (20, largest)]}, "another": {"local": [(20, largest)]}}
    drawing = curves_figure(by_loss, "kind", curves, "steps", ("", "them"))
    assert ("logarithmic" in drawing.caption) is logarithmic
    linear = any(f">{tick}<" in drawing.svg for tick in ("0.3", "0.4", "3"))
    assert linear is not logarithmic


@pytest.mark.parametrize("scores", [(0.0, 0.9), (0.1, 0.9)])
def test_scores_are_over_a_linear_axis(comparison: Comparison, scores: tuple[float, float]) -> None:
    svg = drawn(comparison, {"local": list(zip((10, 20), scores, strict=True))}, "rouge1")
    assert ">0.4<" in svg and ">0.6<" in svg
