"""Reads the committed rows of the embedded data."""

import json
from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "data"
Row = dict[str, str]


def read(name: str) -> list[Row]:
    """The committed rows of a file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
