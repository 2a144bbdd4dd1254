"""What sees through constant answers where answers are labels: every label counts the same, however rare it is."""

from abc import abstractmethod
from collections.abc import Sequence
from statistics import fmean

from sklearn.metrics import f1_score, recall_score

from fedrouter_sim.evaluation.metrics.exact_match import ExactMatch, as_label
from fedrouter_sim.evaluation.metrics.metric import Answered


class _OverLabels(ExactMatch):
    """A mean over the labels of a task's references, and then over tasks. One answer is right or wrong."""

    pooled = True

    def mean(self, samples: Sequence[Answered], values: Sequence[float | None]) -> float | None:
        """Return the mean over tasks whose answers are labels; None where there is none."""
        tasks: dict[str | None, list[Answered]] = {}
        for sample in samples:
            if sample.labels:
                tasks.setdefault(sample.task, []).append(sample)
        found = [
            self.of_task([as_label(one.reference) for one in own], [as_label(one.answer) for one in own])
            for own in tasks.values()
        ]
        return fmean(found) if found else None

    @abstractmethod
    def of_task(self, references: Sequence[str], answers: Sequence[str]) -> float:
        """Score all answers to one task. What is answered beside the labels of the references is a miss."""


class BalancedAccuracy(_OverLabels):
    """The mean, over labels, of the share of samples with that reference that are answered by it."""

    name = "balanced_accuracy"
    title = "balanced accuracy"

    def of_task(self, references: Sequence[str], answers: Sequence[str]) -> float:
        """Score all answers to one task."""
        labels = sorted(set(references))
        return float(recall_score(references, answers, labels=labels, average="macro", zero_division=0))


class MacroF1(_OverLabels):
    """The mean, over labels, of the F1 score of answering by that label."""

    name = "macro_f1"
    title = "macro-F1"

    def of_task(self, references: Sequence[str], answers: Sequence[str]) -> float:
        """Score all answers to one task."""
        labels = sorted(set(references))
        return float(f1_score(references, answers, labels=labels, average="macro", zero_division=0))
