"""Scoring the cells of a run, with progress: at the end of `train`, and in `eval`."""

from collections.abc import Mapping, Sequence

from fedrouter_sim.evaluation.cells import count_samples
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.scores import Cell, CellResult
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.partition.run_data import TestShares


def score_cells(
    evaluator: Evaluator, shares: Mapping[str, TestShares], display: Display, cells: Sequence[Cell] | None = None
) -> list[CellResult]:
    """Evaluate cells, by default all that a run has.

    Args:
        evaluator: of the run.
        shares: the test data, by name.
        display: shows progress.
        cells: on these test data.

    Raises:
        UserError: as `Evaluator.evaluate`.
    """
    cells = evaluator.cells_of_run(shares) if cells is None else cells
    display.started("answering test samples", count_samples(cells, shares))
    return [evaluator.evaluate(cell, shares[cell.test_data]) for cell in cells]
