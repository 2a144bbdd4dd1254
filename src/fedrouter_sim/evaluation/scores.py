"""Answers, their scores, and the scores of a cell."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.typed import Count

Key = TypeVar("Key")


@dataclass(frozen=True)
class Cell:
    """One cell of the protocol: some test data, answered under a routing."""

    test_data: str  # a name of partition.test_data
    routing: str  # a name of routing.ROUTINGS
    router: str | None = None  # of another router than the run's, and its options; None: the run's own

    @property
    def name(self) -> str:
        """Name of the cell's files, such as all-global, or all-global@soft by another router."""
        return f"{self.test_data}-{self.routing}" + (f"@{self.router}" if self.router else "")


@dataclass(frozen=True)
class Answer:
    """One answered test sample."""

    client: int
    task: str | None
    instruction: str
    pool: str | None  # the pool of the largest weight; None: the bare backbone
    sample: Answered
    scores: Mapping[str, float | None]  # by metric
    margin: float | None = None  # of a router: distance to the nearest other task minus that to the task's own landmark
    weights: Mapping[str, float] = field(default_factory=dict)  # pool -> weight in a mixed answer
    unseen: float | None = None  # of a router: how unseen the text is, in [0, 1)
    confidence: float | None = None  # of a router: the probability that it gives the pool

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as a line of the cell's file; its `loss` is summed over tokens, in nats."""
        return {
            "client": self.client,
            "task": self.task,
            "instruction": self.instruction,
            "reference": self.sample.reference,
            "pool": self.pool,
            "answer": self.sample.answer,
            **self.scores,
            "loss": self.sample.loss,
            "tokens": self.sample.tokens,
            "margin": self.margin,
            "confidence": self.confidence,
            "weights": dict(self.weights),
            "unseen": self.unseen,
        }


@dataclass(frozen=True)
class Scores:
    """Means over answers, by metric."""

    samples: int
    values: Mapping[str, float | None]

    @classmethod
    def of(cls, answers: Sequence[Answer], metrics: Sequence[Metric]) -> "Scores":
        """Average over answers, of which there is at least one."""
        samples = [answer.sample for answer in answers]
        return cls(
            len(answers),
            {metric.name: metric.mean(samples, [a.scores[metric.name] for a in answers]) for metric in metrics},
        )

    @classmethod
    def mean_of(cls, scores: Sequence["Scores"], metrics: Sequence[Metric]) -> "Scores":
        """Average over clients, each counting the same; every metric over those that have it, if not all need to."""
        means: dict[str, float | None] = {}
        for metric in metrics:
            found = [value for one in scores if (value := one.values[metric.name]) is not None]
            there = bool(found) and not (metric.needs_all and len(found) < len(scores))
            means[metric.name] = sum(found) / len(found) if there else None
        return cls(sum(one.samples for one in scores), means)

    @classmethod
    def over_clients(cls, answers: Sequence[Answer], metrics: Sequence[Metric]) -> "Scores":
        """Average over the clients of answers, of which there is at least one; pooled metrics are of all at once."""
        single = [metric for metric in metrics if not metric.pooled]
        per_client = [cls.of(own, single) for own in grouped(answers, lambda answer: answer.client).values()]
        pooled = cls.of(answers, [metric for metric in metrics if metric.pooled])
        means = {**cls.mean_of(per_client, single).values, **pooled.values}
        return cls(len(answers), {metric.name: means[metric.name] for metric in metrics})

    def __getitem__(self, metric: str) -> float | None:
        return self.values[metric]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as they stand in a cell's file."""
        return {"samples": self.samples, **self.values}


@dataclass(frozen=True)
class BestConstant:
    """The label of a task's training rows that would be right most often, given to all of its test samples."""

    answer: str
    scores: Mapping[str, float | None]  # by metric, as the cell's own; no loss: nobody computed it


@dataclass(frozen=True)
class SameAnswer:
    """An adapter that gives the same answer to (nearly) all test samples of a task, whose references differ."""

    pool: str
    answer: str
    given: Count  # to so many
    samples: Count  # of so many


@dataclass(frozen=True)
class LabelTask:
    """What a cell shows of a task whose answers are labels, beside its scores."""

    labels: Count  # how many there are
    best_constant: BestConstant | None = None  # None: no training rows of it are known
    always: list[SameAnswer] = field(default_factory=list)  # the adapters that gave all samples one answer


@dataclass(frozen=True)
class CellResult:
    """The scores of one cell."""

    cell: Cell
    mean: Scores  # over clients
    worst_client: int  # by the metric that is shown first
    per_client: Mapping[int, Scores]
    per_task: Mapping[str, Scores]  # over the clients that were asked about the task
    routing_accuracy: float | None  # share of samples, of trained tasks, whose adapter's majority task is theirs
    confusion: Mapping[str, Mapping[str, int]]  # task -> pool -> samples
    samples_sha256: str  # of who was asked what: only results with equal ones may be compared
    answers: Sequence[Answer]
    routing_ece: float | None = None  # expected calibration error of the confidence, over the same samples
    label_tasks: Mapping[str, LabelTask] = field(default_factory=dict)  # of the tasks whose answers are labels

    def to_dict(self) -> dict[str, Any]:
        """Return all but the single answers as JSON-able values."""
        return {
            "cell": {"test_data": self.cell.test_data, "routing": self.cell.routing, "router": self.cell.router},
            "mean": self.mean.to_dict(),
            "worst_client": self.worst_client,
            "per_client": {str(client): scores.to_dict() for client, scores in self.per_client.items()},
            "per_task": {task: scores.to_dict() for task, scores in self.per_task.items()},
            "routing_accuracy": self.routing_accuracy,
            "routing_ece": self.routing_ece,
            "confusion": {task: dict(row) for task, row in self.confusion.items()},
            "label_tasks": {task: asdict(found) for task, found in self.label_tasks.items()},
            "samples_sha256": self.samples_sha256,
        }


def grouped(answers: Sequence[Answer], key: Callable[[Answer], Key]) -> dict[Key, list[Answer]]:
    """Group answers by a key, in order of appearance."""
    groups: dict[Key, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(key(answer), []).append(answer)
    return groups
