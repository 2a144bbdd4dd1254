"""How well the samples of held-out tasks are told from those of trained ones, by how unseen they seem to the router."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sklearn.metrics import roc_auc_score

from fedrouter_sim.evaluation.scores import Answer, CellResult, grouped
from fedrouter_sim.partition.test_data import ALL, HELD_OUT


@dataclass(frozen=True)
class UnseenAuroc:
    """Areas under the ROC curve: the chance that a sample of a held-out task has a higher score than one of a trained
    task, ties counting half; None without held-out tasks or a calibrated router."""

    auroc: float | None = None  # of all held-out tasks together
    per_task: Mapping[str, float] = field(default_factory=dict)  # of each held-out task

    @classmethod
    def of(cls, results: Sequence[CellResult]) -> "UnseenAuroc":
        """Compare the first two cells of one routing, on all tasks and on held-out ones, whose samples have scores.

        Under a method's every routing the scores are the same.
        """
        scored = {
            (one.cell.test_data, one.cell.routing): one.answers
            for one in results
            if all(answer.unseen is not None for answer in one.answers)
        }
        for (test_data, routing), held in scored.items():
            if test_data == HELD_OUT and (ALL, routing) in scored:
                seen = scored[ALL, routing]
                tasks = grouped(held, lambda answer: answer.task or "")
                return cls(_auroc(held, seen), {task: _auroc(own, seen) for task, own in sorted(tasks.items())})
        return cls()


def _auroc(held: Sequence[Answer], seen: Sequence[Answer]) -> float:
    labels = [True] * len(held) + [False] * len(seen)
    return float(roc_auc_score(labels, [answer.unseen for answer in (*held, *seen)]))
