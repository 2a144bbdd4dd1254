"""The tables of what was measured under attack."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from marked_tables import markdown

from attacking.grid import ANSWERS, CLUSTERS, SHARES, attacks_of

Records = Sequence[Mapping[str, Any]]


def tables(part: str, records: Records) -> list[str]:
    """Return the tables of a part as Markdown, a line each: attack and answer to it in rows, shares in columns; cells
    are means over seeds, with the number of seeds where some are not there."""
    attacks = attacks_of(part)
    if part == CLUSTERS:
        shown = [("ARI of honest rows", attacks, "ari"), ("Routing accuracy", attacks, "routing")]
    else:
        shown = [("ROUGE-1", attacks, "score"), ("Backdoor answers", ("backdoor",), "backdoor")]
    one, other = (_table(title, part, own, records, measure) for title, own, measure in shown)
    return [*one, "", *other]


def _table(title: str, part: str, attacks: Sequence[str], records: Records, measure: str) -> list[str]:
    rows = [
        [attack, answer, *(_cell(part, records, attack, answer, share, measure) for share in SHARES[part])]
        for attack in attacks
        for answer in ANSWERS[part]
    ]
    answered_by = "robust clustering" if part == CLUSTERS else "rule"
    columns = ("attack", answered_by, *(f"{share:g}" for share in SHARES[part]))
    return [f"{title}, by share of attackers:", "", *markdown(columns, rows, names=2)]


def _cell(part: str, records: Records, attack: str, answer: str, share: float, measure: str) -> str:
    """Return a mean over seeds; 'refused' where the rule refused all of them."""
    same = {attack} if share or part == CLUSTERS else set(attacks_of(part))  # without attackers it is one run
    found = [r for r in records if r["attack"] in same and r["answer"] == answer and r["share"] == share]
    values = [r["measured"][measure] for r in found if r["measured"].get(measure) is not None]
    refused = sum("refused" in r["measured"] for r in found)
    if not values:
        return "refused" if refused else ""
    there, every = (len({record["seed"] for record in some}) for some in (found, records))
    part_of = f" ({there} of {every} seeds)" if there < every else ""
    return f"{fmean(values):.3f}" + (f" ({refused} refused)" if refused else "") + part_of


def lines_of(part: str, records: Records) -> str:
    """Return the tables for the terminal."""
    return f"{part}: {len(records)} runs\n\n" + "\n".join(tables(part, records))
