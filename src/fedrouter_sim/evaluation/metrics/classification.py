"""What sees through constant answers where answers are labels: every label counts the same, however rare it is."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from fedrouter_sim.evaluation.metrics.exact_match import ExactMatch, as_label
from fedrouter_sim.evaluation.metrics.metric import Answered


@dataclass(frozen=True)
class LabelCounts:
    """How one label of a task's references fared."""

    asked: int  # samples with it as reference; at least one
    given: int  # samples that were answered by it
    right: int  # samples that are both


class _OverLabels(ExactMatch):
    """A mean over the labels of a task's references, and then over tasks. One answer is right or wrong.

    What is answered beside these labels is a miss.
    """

    pooled = True

    def mean(self, samples: Sequence[Answered], values: Sequence[float | None]) -> float | None:
        """Return the mean over tasks whose answers are labels; None where there is none."""
        tasks: dict[str | None, list[Answered]] = {}
        for sample in samples:
            if sample.labels:
                tasks.setdefault(sample.task, []).append(sample)
        found = [float(np.mean([self.of_label(counts) for counts in _counts(own)])) for own in tasks.values()]
        return fmean(found) if found else None

    @abstractmethod
    def of_label(self, counts: LabelCounts) -> float:
        """Score one label."""


class BalancedAccuracy(_OverLabels):
    """The mean, over labels, of the share of samples with that reference that are answered by it (recall)."""

    name = "balanced_accuracy"
    title = "balanced accuracy"

    def of_label(self, counts: LabelCounts) -> float:
        """Return the label's recall."""
        return counts.right / counts.asked


class MacroF1(_OverLabels):
    """The mean, over labels, of the F1 score of answering by that label."""

    name = "macro_f1"
    title = "macro-F1"

    def of_label(self, counts: LabelCounts) -> float:
        """Return the label's F1 score, the harmonic mean of precision and recall."""
        return 2 * counts.right / (counts.asked + counts.given)


def _counts(samples: Sequence[Answered]) -> list[LabelCounts]:
    """Count a task's answers, a record for each label of the references in their alphabetical order.

    Counted here, as scikit-learn's scores take milliseconds a call, and there is a call for every client and cell.
    """
    pairs = [(as_label(one.reference), as_label(one.answer)) for one in samples]
    asked, given = Counter(reference for reference, _ in pairs), Counter(answer for _, answer in pairs)
    right = Counter(reference for reference, answer in pairs if reference == answer)
    return [LabelCounts(asked[label], given[label], right[label]) for label in sorted(asked)]
