"""Where this machine keeps what is made once for several runs: converted models, measured steps, results, rows."""

import os
from pathlib import Path

MODELS, STEPS, RESULTS, ROWS = "models", "steps", "results", "rows"


def cache_folder(kind: str) -> Path:
    """Return the folder of one kind: under FEDROUTER_SIM_CACHE, else in the user's cache directory.

    Args:
        kind: MODELS, STEPS (which data type is faster), RESULTS (embeddings and sketches), or ROWS (what does not fit
            into memory).

    Raises:
        RuntimeError: the user has no home folder, or the variable names one that is not there.
    """
    if own := os.environ.get("FEDROUTER_SIM_CACHE"):
        return Path(own).expanduser().resolve() / kind
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "fedrouter-sim" / kind
