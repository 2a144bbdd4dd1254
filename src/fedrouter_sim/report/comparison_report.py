"""The page of a comparison."""

from collections.abc import Sequence
from pathlib import Path

from fedrouter_sim.report.comparison_figures import comparison_drawings
from fedrouter_sim.report.comparison_tables import (
    cost_grid,
    listed,
    ratio_text,
    run_notes,
    score_grid,
    scored_data,
    spread_grid,
    task_grids,
    title_of,
)
from fedrouter_sim.report.page import Entry, Figures, Grid, Section, Statement, Statements, rendered
from fedrouter_sim.storage import write_text
from fedrouter_sim.studies.comparison import CONTRADICTED, REPRODUCED, Comparison, Judged

_SIGNS = {REPRODUCED: "✓", CONTRADICTED: "✗"}


def write_comparison_report(
    path: Path, title: str, comparison: Comparison, judged: Sequence[Judged], notes: Sequence[str] = ()
) -> Path:
    """Write one self-contained page: scores, claims, figures, cost, and in which settings the runs differ.

    Args:
        path: of the page.
        title: its heading.
        comparison: the runs.
        judged: the claims with their verdicts; may be empty.
        notes: paragraphs for the end.

    Returns:
        The path.
    """
    seeds = sorted({entry.seed for entry in comparison.entries})
    lead = [
        f"{len(comparison.entries)} runs of {len({entry.method for entry in comparison.entries})} methods with "
        f"{'seeds' if len(seeds) > 1 else 'seed'} {', '.join(map(str, seeds))}. "
        + (
            "Intervals are 95% by Student's t over seeds."
            if len(seeds) > 1
            else "One seed gives no interval: small differences say nothing."
        )
    ]
    if any(score.draws is not None for score in comparison.scores):
        lead[0] += " Those over test samples are of a bootstrap, paired over methods: they hold for these seeds alone."
    if backbones := comparison.backbones():
        lead.append(f"Backbone: {'; '.join(backbones)}.")
    sections = [
        Section(
            title_of(data),
            blocks=[
                *(score_grid(view, data) for view in comparison.views),
                *(grid for view in comparison.views for grid in (*task_grids(view, data), spread_grid(view, data))),
            ],
        )
        for data in scored_data(comparison)
    ]
    if judged:
        text = (
            "A claim is reproduced if the interval of the ratio, seed by seed, lies wholly above its bar, contradicted "
            "if wholly below, and not separable otherwise. The ratio is method over baseline, or baseline over method "
            "of what is better when lower, as losses are. What it would take is for an effect as large as ours to be "
            "told from the bar in 4 of 5 studies at the 5% level: test samples over all seeds, as long as seeds add no "
            "chance of their own, or seeds of this size. By loss, a bar above 1 counts as 1. All seeds deal from the "
            "same test rows, so what holds over seeds holds for these rows; the interval over test samples is of "
            "others, for these seeds."
        )
        sections.append(Section("Claims", [text], [Statements([_statement(one) for one in judged])]))
    sections.append(Section("Figures", blocks=[Figures(comparison_drawings(comparison))]))
    sections.append(Section("Cost", blocks=[cost_grid(comparison)]))
    if comparison.differences:
        text = "Beyond method, split and seed, the runs differ in these settings; a difference in score may be theirs."
        sections.append(Section("Settings that differ", [text], [_differences(comparison)]))
    if said := run_notes(comparison):
        sections.append(Section("Notes of the runs", said))
    if notes:
        sections.append(Section("Notes", list(notes)))
    write_text(path, rendered(title, lead, sections))
    return path


def _statement(judged: Judged) -> Statement:
    claim = judged.claim
    details = [
        ratio_text(judged),
        f"Paper: {claim.paper.rstrip('.')}." if claim.paper else "",
        f"{claim.method} against {claim.baseline}, split {claim.split}, test data {claim.test_data}.",
    ]
    return Statement(
        claim.says.rstrip("."), judged.verdict, _SIGNS.get(judged.verdict, "~"), " ".join(filter(None, details))
    )


def _differences(comparison: Comparison) -> Grid:
    rows = [
        [Entry(setting), Entry(value), Entry(str(len(names))), Entry(listed(names))]
        for setting in comparison.differences
        for value, names in comparison.runs_by_value(setting).items()
    ]
    return Grid("Which runs have which value", ("Setting", "Value", "Runs", "Such as"), rows)
