"""The tables of what was measured of sharing."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from fedrouter_sim.storage import write_text
from shares.grid import WAYS

Records = Sequence[Mapping[str, Any]]

_COLUMNS = {
    "own ROUGE-1": ("own rouge1", 3), "own loss": ("own loss", 3), "all ROUGE-1": ("all rouge1", 3),
    "all loss": ("all loss", 3), "balanced accuracy": ("all balanced_accuracy", 3), "routing": ("routing", 3),
    "seconds": ("seconds", 0), "MB sent": ("megabytes", 1),
}  # fmt: skip


def tables(records: Records) -> list[str]:
    """Return the tables of a part as Markdown, a line each, one a split; cells are means over seeds, whose number
    stands in the last column."""
    lines: list[str] = []
    for split in dict.fromkeys(record["split"] for record in records):
        of_split = [record for record in records if record["split"] == split]
        lines += [f"`{split}`:", "", "| way | tasks | " + " | ".join(_COLUMNS) + " | seeds |"]
        lines += ["|---|---|" + "---:|" * (len(_COLUMNS) + 1)]
        for way in WAYS:
            for tasks in dict.fromkeys(record["tasks"] for record in of_split):
                same = [record for record in of_split if (record["way"], record["tasks"]) == (way, tasks)]
                if same:
                    cells = [_mean(same, name, digits) for name, digits in _COLUMNS.values()]
                    lines.append(f"| {way} | {tasks} | " + " | ".join(cells) + f" | {len(same)} |")
        lines.append("")
    return lines[:-1]


def write(path: Path, parts: Mapping[str, Records]) -> None:
    """Put the tables of each part into a document, between its marks.

    Raises:
        ValueError: the document has no marks for a part.
    """
    text = path.read_text(encoding="utf-8")
    for part, records in parts.items():
        begin, end = f"<!-- sharing {part} -->", f"<!-- end of sharing {part} -->"
        marks = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not marks.search(text):
            raise ValueError(f"{path} has no {begin} ... {end}")
        section = "\n".join([begin, "", *tables(records), "", end])
        text = marks.sub(lambda _, new=section: new, text)  # type: ignore[misc]  # the default binds it
    write_text(path, text)


def _mean(records: Records, name: str, digits: int) -> str:
    values = [record["measured"][name] for record in records if record["measured"].get(name) is not None]
    return f"{fmean(values):.{digits}f}" if values else ""
