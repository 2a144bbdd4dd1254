"""What a source of examples is."""

from abc import ABC, abstractmethod
from typing import ClassVar

from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Example, Shares


class Source(ABC):
    """Where examples come from. A new kind is a file here and a row in the table."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def of(cls, text: str) -> "Source | None":
        """Return the source that the value of --data names; None if it names none of this kind."""

    @abstractmethod
    def shares(self, reading: Reading) -> Shares:
        """Load all shares.

        Raises:
            UserError: the data, a file's format, a column or a row is not usable; the message names data and row.
        """

    @abstractmethod
    def test(self, reading: Reading) -> tuple[Example, ...]:
        """Load the test share alone; of a source without shares, everything.

        Raises:
            UserError: as `shares`, or there is no test share.
        """
