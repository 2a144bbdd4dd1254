"""One file: split by seed, or taken whole as test data."""

from dataclasses import dataclass
from pathlib import Path

from fedrouter_sim.examples.reading import Reading, split_by_seed
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.sources.source import Source


@dataclass(frozen=True)
class File(Source):
    """A file of any known format."""

    name = "file"
    path: Path

    @classmethod
    def of(cls, text: str) -> "File | None":
        """Take the path of a file."""
        return cls(Path(text)) if Path(text).is_file() else None

    def shares(self, reading: Reading) -> Shares:
        """Split the file's examples by seed."""
        return split_by_seed(str(self.path), reading.file(self.path), reading.seed)

    def test(self, reading: Reading) -> tuple[Example, ...]:
        """Return all of the file's examples."""
        return reading.file(self.path)
