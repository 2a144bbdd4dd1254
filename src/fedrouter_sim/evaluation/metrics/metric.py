"""What a metric is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Answered:
    """One answered test sample, as metrics see it."""

    reference: str
    answer: str
    labels: bool  # whether the task's references are labels, such as Yes and No
    loss: float  # summed over the reference's tokens, nats
    tokens: int  # of the reference, EOS included
    task: str | None = None


class Metric(ABC):
    """A number for every answer, and a mean over answers. A new one is a subclass."""

    name: ClassVar[str]
    """Its key in files: letters, digits and underscores."""
    title: ClassVar[str]
    """What people read: 'ROUGE-1'."""
    higher_is_better: ClassVar[bool] = True
    pooled: ClassVar[bool] = False
    """Whether a score is of all clients' samples together instead of the mean over clients: for what cannot be told
    from the few samples of one."""
    needs_all: ClassVar[bool] = False
    """Whether there is a mean over clients only if each of them has a score; else it is over those that have one."""

    @property
    def averaged(self) -> str:
        """What a score is over, for people."""
        return "all clients' samples together" if self.pooled else "mean over clients"

    @abstractmethod
    def measure(self, sample: Answered) -> float | None:
        """Measure one answer; None where the metric does not apply."""

    def mean(self, samples: Sequence[Answered], values: Sequence[float | None]) -> float | None:
        """Return the mean over answers with their values; None where no answer has one."""
        found = [value for value in values if value is not None]
        return sum(found) / len(found) if found else None

    def worst(self, values: Sequence[float]) -> float:
        """Return the worst of at least one value."""
        return min(values) if self.higher_is_better else max(values)

    def best(self, values: Sequence[float]) -> float:
        """Return the best of at least one value."""
        return max(values) if self.higher_is_better else min(values)
