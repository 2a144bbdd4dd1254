"""Which cells a run is scored in."""

from collections.abc import Mapping, Sequence

from fedrouter_sim.evaluation.scores import Cell
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.methods.method import Method
from fedrouter_sim.partition.run_data import RunData, TestShares
from fedrouter_sim.partition.test_data import ALL
from fedrouter_sim.routing import BARE, ORACLE


def cells_of_run(routings: Sequence[str], shares: Mapping[str, TestShares], by_label: bool) -> list[Cell]:
    """Return all cells of a run: the method's and, on all tasks, the bare backbone's and that of the oracle routing.

    Args:
        routings: of the method.
        shares: the test data, by name.
        by_label: whether the run has a router, and its training rows have labels; test rows need them as well.
    """
    cells = [Cell(name, routing) for name in shares for routing in routings]
    if by_label and all(example.task is not None for own in shares[ALL].values() for example in own):
        cells.append(Cell(ALL, ORACLE))
    return [*cells, Cell(ALL, BARE)]


def count_samples(cells: Sequence[Cell], shares: Mapping[str, TestShares]) -> int:
    """Return how many samples these cells have, each counted in every cell."""
    return sum(len(own) for cell in cells for own in shares[cell.test_data].values())


def most_answers(method: Method, plan: Plan, data: RunData) -> int:
    """Return how many answers the evaluation of a run takes at most: a sample that the same adapter answers in several
    cells is answered once."""
    shares = data.test_shares()
    return count_samples(cells_of_run(method.routings, shares, bool(plan.router) and data.is_labelled), shares)
