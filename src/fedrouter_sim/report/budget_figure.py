"""The figure of a comparison that shows the scores of methods against the steps that a client took."""

from math import prod

from fedrouter_sim.report.curves import Curves, curves_figure, name_without, own_scores
from fedrouter_sim.report.figures import Drawing
from fedrouter_sim.studies.comparison import Comparison

_SETTINGS = ("rounds", "local_steps")


def budget_figure(comparison: Comparison) -> Drawing | None:
    """Draw a panel for each split and test data: scores against `rounds` x `local_steps`. None where all runs had the
    same budget."""
    curves = budget_curves(comparison)
    if not curves:
        return None
    against = "the optimiser steps of a client in all rounds; with the budget per-group, of each of its groups"
    return curves_figure(
        comparison, "budget", curves, "rounds x local steps", (f", {comparison.metric.averaged}", against)
    )


def budget_curves(comparison: Comparison) -> dict[str, Curves]:
    """Return for each split and test data with runs of different budgets what methods that train scored at each."""
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for entry in comparison.entries:
        steps = prod(int(entry.settings.get(setting, 0)) for setting in _SETTINGS)
        if not steps or not entry.cost.optimizer_steps:
            continue
        for score in own_scores(entry):
            method = name_without(_SETTINGS, score.method, entry)
            cell = found.setdefault(f"{score.split}, {score.test_data}", {})
            cell.setdefault(method, []).append((steps, score.mean))
    return {
        cell: {method: sorted(pairs) for method, pairs in of_cell.items()}
        for cell, of_cell in found.items()
        if len({steps for pairs in of_cell.values() for steps, _ in pairs}) > 1
    }
