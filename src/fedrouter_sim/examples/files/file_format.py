"""What a file format is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.examples.rows import Rows


class FileFormat(ABC):
    """How the rows of one kind of file are read. A new one is a file here and a row in the table."""

    name: ClassVar[str]
    """The suffix, such as '.jsonl'."""

    @abstractmethod
    def rows(self, path: Path, columns: Sequence[str]) -> Rows:
        """Return the wanted columns of a file's rows, in file order, every value as it stands.

        Raises:
            UserError: what is wrong, with the line where the file has lines; the file's name is put in front.
            Exception: whatever a parser raises; it is turned into a UserError that names the file.
        """

    def read(self, path: Path, columns: Sequence[str], flag: str = "--data") -> Rows:
        """Read a file by `rows`; messages begin with the flag that named it.

        Raises:
            UserError: the file is empty, holds no rows, or is not of this format.
        """
        where = f"{flag} {path}"
        if path.stat().st_size == 0:
            raise UserError(f"{where}: the file is empty")
        try:
            rows = self.rows(path, columns)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        except Exception as error:  # parsers raise what they like
            raise UserError(f"{where}: not readable as {self.name[1:]} ({first_line(error)})") from None
        if not rows.names:
            raise UserError(f"{where}: holds no rows")
        return rows
