"""The tables of what was measured of sharing."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from marked_tables import markdown

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
        rows = []
        # Rules that lost are no more: their rows stand in the order in which they were measured.
        for way in dict.fromkeys((*WAYS, *(record["way"] for record in records))):
            for tasks in dict.fromkeys(record["tasks"] for record in of_split):
                same = [record for record in of_split if (record["way"], record["tasks"]) == (way, tasks)]
                if same:
                    cells = [_mean(same, name, digits) for name, digits in _COLUMNS.values()]
                    rows.append((way, str(tasks), *cells, str(len(same))))
        lines += [f"`{split}`:", "", *markdown(("way", "tasks", *_COLUMNS, "seeds"), rows, names=2), ""]
    return lines[:-1]


def _mean(records: Records, name: str, digits: int) -> str:
    values = [record["measured"][name] for record in records if record["measured"].get(name) is not None]
    return f"{fmean(values):.{digits}f}" if values else ""
