"""The data sets that come with the package."""

from dataclasses import dataclass

from fedrouter_sim.bundled import BUNDLED_DATA, bundled
from fedrouter_sim.examples.sources.folder import Folder


@dataclass(frozen=True)
class Embedded(Folder):
    """A folder of the package."""

    name = "embedded"

    @classmethod
    def of(cls, text: str) -> "Embedded | None":
        """Take the name of an embedded data set."""
        return cls(bundled(text)) if text in BUNDLED_DATA else None
