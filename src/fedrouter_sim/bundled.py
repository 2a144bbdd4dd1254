"""Where the embedded data and backbone lie: the same answer in a checkout, an editable install and a wheel."""

from pathlib import Path

BUNDLED_DATA = ("multitask", "unseen")
"""Names of the embedded data: the four tasks, and two further ones with test rows only."""

BUNDLED_MODEL = "tiny-gpt2"
"""Name of the embedded backbone."""

FETCHED_MODEL = "smollm2-135m"
"""Name of the backbone that is not embedded but fetched once, by `make smollm2`."""

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
