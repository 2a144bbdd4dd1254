"""Write the page of all settings from their declarations: `python scripts/settings_page.py`.

A test compares docs/settings.md with them, so that the page is never behind.
"""

import dataclasses
import re
from pathlib import Path
from typing import Any

from fedrouter_sim.cli.settings import choices_of
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag, shown_default
from fedrouter_sim.storage import write_text

PAGE = Path(__file__).resolve().parents[1] / "docs" / "settings.md"
_HEAD = """# All settings

<!-- Written by scripts/settings_page.py; a test compares it with the settings of the program. -->

Every setting is a flag of `fedrouter-sim train`, a key of a TOML file (with `_` for `-`), and a field of `RunConfig` in
Python. [Commands](commands.md#train) says which wins.
"""


def settings_page() -> str:
    """Return the text of docs/settings.md."""
    panels: dict[str, list[str]] = {}
    for field in dataclasses.fields(RunConfig):
        choices = ", ".join(f"`{choice}`" for choice in choices_of(field))
        help_text = _cell(field.metadata["help"]) + (f" One of {choices}." if choices else "")
        row = f"| `{flag(field.name)}` | {_default(field)} | {help_text} |"
        panels.setdefault(field.metadata["panel"], []).append(row)
    parts = [_HEAD]
    for panel, rows in panels.items():
        parts.append("\n".join([f"## {panel}", "", "| flag | default | meaning |", "|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _default(field: "dataclasses.Field[Any]") -> str:
    shown = shown_default(field)
    return _cell(shown) if field.metadata["rule"] or field.default in ((), "") else f"`{shown}`"


def _cell(text: str) -> str:
    """Return a text as it can stand in a cell of a table: flags as code, no bars."""
    return re.sub(r"--[a-z0-9-]+", lambda found: f"`{found[0]}`", text.replace("|", "/"))


if __name__ == "__main__":
    write_text(PAGE, settings_page())
