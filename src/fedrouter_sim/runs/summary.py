"""The summary of a run: what its final table shows, written and read here alone."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import DEFAULT_METRIC
from fedrouter_sim.evaluation.scores import CellResult, LabelTask
from fedrouter_sim.evaluation.truth import Agreement
from fedrouter_sim.evaluation.unseen import UnseenAuroc
from fedrouter_sim.federation.privacy.budget import Account
from fedrouter_sim.partition.test_data import ALL
from fedrouter_sim.routing import BARE
from fedrouter_sim.runs.cells import MetricScores
from fedrouter_sim.storage import read_json, write_json
from fedrouter_sim.typed import Count, fitted, taken

SUMMARY_NAME = "summary.json"


@dataclass(frozen=True)
class Summary:
    """What the final table of a run shows. Scores are means over clients, by cell and metric."""

    method: str
    split: str
    clients: Count
    seed: Count
    metric: str = DEFAULT_METRIC  # the one that is shown first
    cell: str | None = None  # the cell that is shown first; None before any evaluation
    scores: Mapping[str, MetricScores] = field(default_factory=dict)  # cell -> metric -> score
    task_scores: Mapping[str, Mapping[str, MetricScores]] = field(
        default_factory=dict
    )  # cell -> task -> metric -> score
    label_tasks: Mapping[str, Mapping[str, LabelTask]] = field(
        default_factory=dict
    )  # cell -> task whose answers are labels -> the best constant answer, and adapters that only give one
    routing_accuracy: float | None = None  # in the cell that is shown first
    unseen_auroc: float | None = None  # of held-out tasks' test samples against the others, by how unseen they seem
    unseen_auroc_per_task: Mapping[str, float] = field(default_factory=dict)
    routing_ece: float | None = None  # there, too: expected calibration error of the router's confidence
    ari_local: float | None = None
    nmi_local: float | None = None
    ari_global: float | None = None
    nmi_global: float | None = None
    tasks_found: Count | None = None  # tasks with a centroid in the router; None: the method has none
    tasks_born: Count = 0  # of them, those that came with a drift
    bytes_up: Count = 0
    bytes_down: Count = 0
    optimizer_steps: Count = 0
    tokens_trained: Count = 0
    updates_refused: Count = 0  # by the server, in all rounds: they did not count
    clients_dropped: Count = 0  # that vanished before they sent, summed over rounds
    clients_late: Count = 0  # whose updates came late, summed over rounds
    clients_joined: Count = 0  # of them, those whose updates counted a round later
    rounds_skipped: Count = 0  # with too few clients to change a shared adapter
    truncated: Mapping[str, Count] = field(default_factory=dict)  # share -> instructions that were cut
    seconds: Mapping[str, float] = field(default_factory=dict)  # phase -> seconds
    peak_memory_bytes: Count = 0
    privacy: Account | None = None  # what differential privacy spent; None: there was none

    @property
    def bare_cell(self) -> str:
        """Name of the cell of the bare backbone on all tasks."""
        return f"{ALL}-{BARE}"

    @property
    def score(self) -> float | None:
        """The score that is shown first: of the first cell by the first metric."""
        return self.score_in(self.cell)

    def score_in(self, cell: str | None, metric: str | None = None) -> float | None:
        """Return the score in a cell by a metric; None where there is none."""
        return self.scores.get(cell or "", {}).get(metric or self.metric)

    def task_scores_in(self, cell: str | None, metric: str | None = None) -> dict[str, float | None]:
        """Return the scores in a cell by task."""
        found = self.task_scores.get(cell or "", {})
        return {task: scores.get(metric or self.metric) for task, scores in found.items()}

    @staticmethod
    def of_results(results: Sequence[CellResult]) -> dict[str, Any]:
        """Return the fields that cells decide; the first cell on all tasks is shown first."""
        unseen = UnseenAuroc.of(results)
        main = next((result for result in results if result.cell.test_data == ALL), None)
        return {
            "cell": main.cell.name if main else None,
            "scores": {result.cell.name: dict(result.mean.values) for result in results},
            "task_scores": {
                result.cell.name: {task: dict(scores.values) for task, scores in result.per_task.items()}
                for result in results
            },
            "label_tasks": {result.cell.name: dict(result.label_tasks) for result in results if result.label_tasks},
            "routing_accuracy": main.routing_accuracy if main else None,
            "unseen_auroc": unseen.auroc,
            "unseen_auroc_per_task": dict(unseen.per_task),
            "routing_ece": main.routing_ece if main else None,
        }

    def with_scores(self, results: Sequence[CellResult], cut: int) -> "Summary":
        """Return the summary of a run that was evaluated again, with so many test instructions cut to fit."""
        return replace(self, **self.of_results(results), truncated={**self.truncated, "test": cut})

    def without_scores(self, agreement: Agreement, peak_memory_bytes: int, tasks_found: int | None) -> "Summary":
        """Return the summary of a run that was aggregated again: what needs answers is unknown until `eval`."""
        unknown = replace(
            self, cell=None, scores={}, task_scores={}, label_tasks={}, routing_accuracy=None, routing_ece=None
        )
        unknown = replace(unknown, unseen_auroc=None, unseen_auroc_per_task={})
        return replace(unknown, **asdict(agreement), tasks_found=tasks_found, peak_memory_bytes=peak_memory_bytes)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-able values; of privacy only where there was any."""
        return {name: value for name, value in asdict(self).items() if name != "privacy" or value is not None}

    def save(self, folder: Path) -> None:
        """Write summary.json."""
        write_json(folder / SUMMARY_NAME, self.to_dict())

    @classmethod
    def load(cls, folder: Path) -> "Summary":
        """Read summary.json, of older runs as well.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = folder / SUMMARY_NAME
        record = read_json(path, f"is {folder} a run folder of fedrouter-sim?")
        try:
            if "scores" not in record:
                record = _from_first_format(record)
            known = {one.name: record[one.name] for one in fields(cls) if one.name in record}
            found: Summary = fitted(cls, known, "")
            return found
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); train the run anew") from None


def _from_first_format(record: dict[str, Any]) -> dict[str, Any]:
    """Bring a summary of run format 1, which had ROUGE-1 only, into the present form."""
    of_tasks = Mapping[str, float] | None
    per_cell: Mapping[str, float] = taken(record, "rouge1_per_cell", of_tasks, None) or {}
    first = next((cell for cell in per_cell if cell.startswith(f"{ALL}-") and cell != f"{ALL}-{BARE}"), None)
    tasks = {
        first: taken(record, "rouge1_per_task", of_tasks, None),
        f"{ALL}-{BARE}": taken(record, "rouge1_base_per_task", of_tasks, None),
    }
    return record | {
        "metric": DEFAULT_METRIC,
        "cell": first,
        "scores": {cell: {DEFAULT_METRIC: score} for cell, score in per_cell.items()},
        "task_scores": {
            cell: {task: {DEFAULT_METRIC: score} for task, score in of_cell.items()}
            for cell, of_cell in tasks.items()
            if cell is not None and of_cell
        },
    }
