"""AUROC of held-out tasks against trained ones."""

import pytest

from fedrouter_sim.evaluation.metrics.metric import Answered
from fedrouter_sim.evaluation.scores import Answer, Cell, CellResult, Scores
from fedrouter_sim.evaluation.unseen import UnseenAuroc
from fedrouter_sim.partition.test_data import ALL, HELD_OUT
from fedrouter_sim.routing import BARE, GLOBAL, LOCAL


def cell(test_data: str, routing: str, *scored: tuple[str, float | None]) -> CellResult:
    sample = Answered("a", "a", False, 1.0, 1)
    answers = [Answer(0, task, "What?", "task_0", sample, {}, unseen=score) for task, score in scored]
    return CellResult(Cell(test_data, routing), Scores(1, {}), 0, {}, {}, None, {}, "", answers)


SEEN = cell(ALL, GLOBAL, ("sum", 0.1), ("sum", 0.5), ("title", 0.9), ("title", 0.2))
HELD = cell(HELD_OUT, GLOBAL, ("reverse", 0.95), ("reverse", 0.99), ("opinion", 0.5), ("opinion", 0.3))


def test_overall_and_of_each_held_out_task() -> None:
    found = UnseenAuroc.of([SEEN, HELD])
    assert found.per_task == {"opinion": pytest.approx((2.5 + 2) / 8), "reverse": 1.0}
    assert found.auroc == pytest.approx((4 + 4 + 2.5 + 2) / 16)


def test_cells_of_one_routing_are_compared() -> None:
    without = cell(ALL, BARE, ("sum", None))
    assert UnseenAuroc.of([without, SEEN, HELD]) == UnseenAuroc.of([SEEN, HELD])
    local = cell(HELD_OUT, LOCAL, ("reverse", 0.0))
    assert UnseenAuroc.of([SEEN, local]) == UnseenAuroc()


@pytest.mark.parametrize(
    "results", [[], [SEEN], [HELD], [cell(ALL, BARE, ("sum", None)), cell(HELD_OUT, BARE, ("x", None))]]
)
def test_without_both_sorts_of_samples_or_scores_there_is_none(results: list[CellResult]) -> None:
    assert UnseenAuroc.of(results) == UnseenAuroc(None, {})
