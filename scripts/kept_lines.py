"""What a study has measured so far: a line of JSON a run, so that a stopped study goes on where it was."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedrouter_sim.storage import read_json_lines


def keep(file: Path, record: Mapping[str, Any]) -> None:
    """Add a record to a file, which is made where it is not there yet."""
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(record) + "\n")


def kept(file: Path, keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the records of a file; none where it is not there.

    Args:
        file: which `keep` has written.
        keys: that every record has, with the type of each value.

    Raises:
        UserError: a line is damaged.
    """
    return list(read_json_lines(file, keys, "remove its last line, and run the study again")) if file.exists() else []
