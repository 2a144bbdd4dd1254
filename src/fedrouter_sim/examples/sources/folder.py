"""A folder with a file per share."""

from dataclasses import dataclass
from pathlib import Path

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.files import FILE_FORMATS
from fedrouter_sim.examples.reading import SHARE_NAMES, Reading
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.sources.source import Source


@dataclass(frozen=True)
class Folder(Source):
    """A folder with train and test files, and perhaps a validation file."""

    name = "folder"
    path: Path

    @classmethod
    def of(cls, text: str) -> "Folder | None":
        """Take the path of a folder."""
        return cls(Path(text)) if Path(text).is_dir() else None

    def shares(self, reading: Reading) -> Shares:
        """Read the file of each share."""
        parts = {share: reading.file(file) for share in SHARE_NAMES if (file := self._file(share))}
        for share in ("train", "test"):
            if share not in parts:
                raise self._lacks(share)
        return Shares(parts["train"], parts.get("validation", ()), parts["test"])

    def test(self, reading: Reading) -> tuple[Example, ...]:
        """Read the test file."""
        file = self._file("test")
        if file is None:
            raise self._lacks("test")
        return reading.file(file)

    def _file(self, share: str) -> Path | None:
        paths = [self.path / f"{name}{suffix}" for name in SHARE_NAMES[share] for suffix in FILE_FORMATS.names]
        found = [path for path in paths if path.is_file()]
        if len(found) > 1:
            raise UserError(f"--data {self.path}: both {found[0].name} and {found[1].name} are there; keep one of them")
        return found[0] if found else None

    def _lacks(self, share: str) -> UserError:
        *most, last = FILE_FORMATS.names
        return UserError(f"--data {self.path}: no {share} file ({', '.join(most)} or {last}) in this folder")
