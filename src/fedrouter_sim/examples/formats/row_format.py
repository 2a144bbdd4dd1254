"""What a row format is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from fedrouter_sim.examples.record import Columns, Example
from fedrouter_sim.examples.rows import Rows
from fedrouter_sim.examples.values import Flaw

Found = Example | tuple[Example, ...] | Flaw
"""What a row is."""


class RowFormat(ABC):
    """How rows become examples. A new one is a file here and a row in the table."""

    name: ClassVar[str]

    @abstractmethod
    def wanted(self, columns: Columns) -> tuple[str, ...]:
        """Return the distinct names of the columns to read."""

    @abstractmethod
    def examples(self, rows: Rows, columns: Columns, where: str) -> Sequence[Found]:
        """Return what each row is, in order: an example, several, or, where it does not have what it needs, a flaw.

        Args:
            rows: with the columns that `wanted` names, where they are there.
            columns: which column holds which field.
            where: the data, as messages begin with it.

        Raises:
            UserError: a column is missing.
        """

    def notes(self, rows: Rows, columns: Columns) -> list[str]:
        """Return what a user should know of how rows were read: what was put together, and what was not read."""
        return []
