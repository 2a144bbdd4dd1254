"""The tables of what was measured under attack."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from marked_tables import markdown

from attacking.grid import CLUSTERS, ON_UPDATES, RULES, SHARES, WAYS

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


def _table(
    title: str, attacks: Sequence[str], answers: Sequence[str], records: Records, measure: str, of_what: str
) -> list[str]:
    rows = [
        [attack, answer, *(_cell(records, attack, answer, share, measure) for share in SHARES)]
        for attack in attacks
        for answer in answers
    ]
    columns = ("attack", of_what, *(f"{share:g}" for share in SHARES))
    return [f"{title}, by share of attackers:", "", *markdown(columns, rows, names=2)]


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
