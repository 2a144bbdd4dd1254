"""The data sets that come with the package."""

from dataclasses import dataclass

from fedrouter_sim.bundled import BUNDLED_DATA, bundled
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Example, Shares
from fedrouter_sim.examples.sources.folder import Folder
from fedrouter_sim.examples.sources.share_files import share_files


@dataclass(frozen=True)
class Embedded(Folder):
    """A folder of the package; all have a test file, and nothing else serves in its place."""

    name = "embedded"

    @classmethod
    def of(cls, text: str) -> "Embedded | None":
        """Take the name of an embedded data set."""
        return cls(bundled(text)) if text in BUNDLED_DATA else None

    def shares(self, reading: Reading) -> Shares:
        """Read the files of each share."""
        self._require_test()
        return super().shares(reading)

    def test(self, reading: Reading) -> tuple[Example, ...]:
        """Read the test file."""
        self._require_test()
        return super().test(reading)

    def _require_test(self) -> None:
        if "test" not in share_files(self.path):
            raise self._lacks("test")
