"""What a split is: a rule for who holds which examples."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedrouter_sim.arrays import Ints
from fedrouter_sim.config import with_value
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example, tasks_of
from fedrouter_sim.partition.assigning import assign_counts
from fedrouter_sim.rounding import largest_remainder

Parts = list[tuple[Example, ...]]
"""The examples of each client."""


@dataclass(frozen=True)
class Wanted:
    """What the settings ask of a split."""

    clients: int
    seed: int
    examples_per_client: int  # at most, for training
    test_examples_per_client: int  # at most
    alpha: float = 0.5  # concentration of Dirichlet mixtures


class Split(ABC):
    """A rule for who holds which training examples, and which test examples of the same mixture."""

    name: ClassVar[str]
    uses: ClassVar[frozenset[str]] = frozenset()
    """The settings that only this split has a use for: with other values of them a run on another split is the same."""

    @abstractmethod
    def parts(self, train: Sequence[Example], test: Sequence[Example], wanted: Wanted) -> tuple[Parts, Parts]:
        """Return each client's training examples, and each client's test examples.

        Raises:
            UserError: the data does not say what the split goes by, or there are too few rows.
        """

    def client_ids(self, train: Sequence[Example], clients: int) -> list[str]:
        """Return what the data calls the clients, where it says itself whose row it is."""
        return []

    def notes(self, train: Sequence[Example], test: Sequence[Example], clients: int) -> list[str]:
        """Return what a user should know of the partition."""
        return []


class FractionSplit(Split):
    """A split by task: client i gets the fraction F[i, t] of task t's rows."""

    needs_labels: ClassVar[bool] = True
    """Whether the data must have task labels; without any, all rows count as one task."""

    @abstractmethod
    def fractions(self, available: Ints, wanted: Wanted) -> NDArray[np.float64]:
        """Return F (clients, tasks); every column sums to at most 1.

        Args:
            available: rows of each task, (tasks,), in the order of the labels.
            wanted: the number of clients, the seed, and so on.
        """

    def parts(self, train: Sequence[Example], test: Sequence[Example], wanted: Wanted) -> tuple[Parts, Parts]:
        """Turn the fractions into rows, for training and test alike."""
        labelled = bool(tasks_of(train)) and bool(tasks_of(test))
        if not labelled and self.needs_labels:
            raise UserError(
                f"{with_value('split', self.name)} goes by task and the data has no task column; name it with "
                "--task-column, or give --split all"
            )
        train_rows, test_rows = (_rows_by_task(share, labelled) for share in (train, test))
        tasks = sorted(train_rows)
        available = np.array([len(train_rows[task]) for task in tasks])
        counts = _column_counts(self._checked_fractions(available, wanted), available)
        counts = np.array([_shrink(row, wanted.examples_per_client) for row in counts])
        if (empty := np.flatnonzero(counts.sum(axis=1) == 0)).size:
            raise UserError(
                f"{with_value('clients', wanted.clients)}: client {empty[0]} would get no example of {available.sum()} "
                f"under {with_value('split', self.name)}; lower --clients or give more data"
            )
        test_available = np.array([len(test_rows.get(task, ())) for task in tasks])
        test_pool = _column_counts(self._checked_fractions(test_available, wanted), test_available)
        most = wanted.test_examples_per_client
        test_counts = np.array([_match(mixture, pool, most) for mixture, pool in zip(counts, test_pool, strict=True)])
        train_parts = assign_counts(train, train_rows, tasks, counts, wanted.seed, "train")
        return train_parts, assign_counts(test, test_rows, tasks, test_counts, wanted.seed, "test")

    def _checked_fractions(self, available: Ints, wanted: Wanted) -> NDArray[np.float64]:
        found = np.asarray(self.fractions(available, wanted), dtype=np.float64)
        shape = (wanted.clients, len(available))
        if found.shape != shape or not (found >= 0).all() or (found.sum(axis=0) > 1 + 1e-6).any():
            raise UserError(
                f"--split {self.name}: fractions must be numbers from 0, of shape {shape}, with columns that sum to "
                "at most 1"
            )
        return found


def _rows_by_task(examples: Sequence[Example], labelled: bool) -> dict[str, list[int]]:
    """Return the row numbers of each task; data without labels is one task."""
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault((example.task or "") if labelled else "", []).append(row)
    return rows


def _column_counts(fractions: NDArray[np.float64], available: Ints) -> Ints:
    """Turn fractions into whole rows (clients, tasks), a column at a time; fractions below 1 leave rows over."""
    rest = np.maximum(1 - fractions.sum(axis=0, keepdims=True), 0)
    padded = np.concatenate([fractions, rest])
    columns = [largest_remainder(padded[:, t], int(n)) for t, n in enumerate(available)]
    return np.stack(columns, axis=1)[:-1]


def _shrink(counts: Ints, most: int) -> Ints:
    return counts if counts.sum() <= most else largest_remainder(counts.astype(np.float64), most)


def _match(mixture: Ints, pool: Ints, most: int) -> Ints:
    """Return as many test rows as fit in `pool` with the training mixture, at most `most` (rounded to whole rows)."""
    wanted = np.where(pool > 0, mixture, 0).astype(np.float64)
    if not wanted.any():
        return np.zeros_like(pool)
    shares = wanted / wanted.sum()
    fitting = int(min(pool[t] / shares[t] for t in np.flatnonzero(shares)) + 1e-9)
    return np.minimum(largest_remainder(shares, min(most, fitting)), pool)
