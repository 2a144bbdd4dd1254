"""The tables of what was measured under attack."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from attacking.grid import CLUSTERS, ON_UPDATES, RULES, SHARES, WAYS
from fedrouter_sim.storage import write_text

Records = Sequence[Mapping[str, Any]]


def tables(part: str, records: Records) -> list[str]:
    """Return the tables of a part as Markdown, a line each: attack and answer to it in rows, shares in columns; cells
    are means over seeds, with the number of seeds where some are not there."""
    if part == CLUSTERS:
        return [
            *_table("ARI of honest rows", tuple(WAYS), ("none", "robust"), records, "ari", "robust clustering"),
            "",
            *_table("Routing accuracy", tuple(WAYS), ("none", "robust"), records, "routing", "robust clustering"),
        ]
    return [
        *_table("ROUGE-1", ON_UPDATES, RULES, records, "score", "rule"),
        "",
        *_table("Backdoor answers", ("backdoor",), RULES, records, "backdoor", "rule"),
    ]


def write(path: Path, parts: Mapping[str, Records]) -> None:
    """Put the tables of each part into a document, between its marks.

    Raises:
        ValueError: the document has no marks for a part.
    """
    text = path.read_text(encoding="utf-8")
    for part, records in parts.items():
        begin, end = f"<!-- attacks {part} -->", f"<!-- end of attacks {part} -->"
        marks = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if not marks.search(text):
            raise ValueError(f"{path} has no {begin} ... {end}")
        section = "\n".join([begin, "", *tables(part, records), "", end])
        text = marks.sub(lambda _, new=section: new, text)  # type: ignore[misc]  # the default binds it
    write_text(path, text)


def _table(
    title: str, attacks: Sequence[str], answers: Sequence[str], records: Records, measure: str, of_what: str
) -> list[str]:
    lines = [f"{title}, by share of attackers:", ""]
    lines += [f"| attack | {of_what} | " + " | ".join(f"{share:g}" for share in SHARES) + " |"]
    lines += ["|---|---|" + "---:|" * len(SHARES)]
    for attack in attacks:
        for answer in answers:
            cells = [_cell(records, attack, answer, share, measure) for share in SHARES]
            lines.append(f"| {attack} | {answer} | " + " | ".join(cells) + " |")
    return lines


def _cell(records: Records, attack: str, answer: str, share: float, measure: str) -> str:
    """Return a mean over seeds; 'refused' where the rule refused all of them."""
    same = {attack} if share or attack in WAYS else set(ON_UPDATES)  # without attackers it is one run
    found = [r for r in records if r["attack"] in same and r["answer"] == answer and r["share"] == share]
    values = [r["measured"][measure] for r in found if r["measured"].get(measure) is not None]
    refused = sum("refused" in r["measured"] for r in found)
    if not values:
        return "refused" if refused else ""
    return f"{fmean(values):.3f}" + (f" ({refused} refused)" if refused else "")


def lines_of(part: str, records: Records) -> str:
    """Return the tables for the terminal."""
    return f"{part}: {len(records)} runs\n\n" + "\n".join(tables(part, records))
