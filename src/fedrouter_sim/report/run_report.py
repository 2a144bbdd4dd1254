"""The page of one run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.text import Text

from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.report.discovery import discovery_section
from fedrouter_sim.report.figures import Drawing
from fedrouter_sim.report.page import Entry, Example, Examples, Figures, Grid, Section, rendered
from fedrouter_sim.report.run_figures import run_figures
from fedrouter_sim.report.run_records import cell_scores, main_cell, pool_label, round_gaps
from fedrouter_sim.report.tables import number, summary_table
from fedrouter_sim.routing import FIXED
from fedrouter_sim.runs.cells import read_answers
from fedrouter_sim.runs.checking import notes_in
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.storage import write_text

PAGE_NAME = "report.html"
FIGURES_NAME = "figures"

_TASKS = 12  # with examples
_LISTED = 8  # values of a list
_INPUT = 300  # characters of an example's input


def write_run_report(run: Run) -> Path:
    """Write RUN/report.html, with all figures inline, and the figures as RUN/figures/*.svg.

    Args:
        run: a finished run, of `train` or of `aggregate`.

    Returns:
        The path of the page.

    Raises:
        UserError: a file of the run is damaged.
    """
    drawings = run_figures(run)
    examples = routed_examples(run)
    summary = run.summary
    gaps = _gaps(run)
    sections = [Section("Numbers", blocks=[_numbers(summary, run.metric), *([gaps] if gaps else [])])]
    if notes := notes_in(run.manifest):
        sections.append(Section("Notes", notes))
    if discovery := discovery_section(run):
        sections.append(discovery)
    if drawings:
        sections.append(Section("Figures", blocks=[Figures(drawings)]))
    if examples:
        text = f"Of every task the best and the worst answer, by {run.metric.title}; of equal ones the first."
        sections.append(Section("Routed examples", [text], [Examples(examples)]))
    sections.append(Section("How it was made", blocks=[_provenance(run)]))
    lead = [f"Split {summary.split}, {summary.clients} clients, seed {summary.seed}; run {run.folder.name}."]
    lead.append(f"Backbone: {run.backbone}.")
    if not run.cells():
        lead.append("The run was not evaluated yet: `fedrouter-sim eval` makes scores, this report then shows them.")
    for drawing in _drawings(sections):
        write_text(run.folder / FIGURES_NAME / f"{drawing.name}.svg", drawing.svg)
    path = run.folder / PAGE_NAME
    write_text(path, rendered(f"Federated fine-tuning with {summary.method}", lead, sections))
    return path


def _drawings(sections: Sequence[Section]) -> list[Drawing]:
    blocks = [block for section in sections for block in section.blocks]
    return [drawing for block in blocks if isinstance(block, Figures) for drawing in block.shown]


def routed_examples(run: Run) -> list[Example]:
    """Return the best and the worst answered sample of each task in the run's main cell; none without a cell."""
    cell = main_cell(cell_scores(run))
    if cell is None:
        return []
    name, better = run.metric.name, run.metric.best
    best: dict[str | None, dict[str, Any]] = {}
    worst: dict[str | None, dict[str, Any]] = {}
    for answer in read_answers(run.folder, cell.stored):
        task, score = answer["task"], _score(run, answer)
        if score is None:
            continue
        if task not in best or (score != best[task][name] and better([score, best[task][name]]) == score):
            best[task] = answer | {name: score}
        if task not in worst or (score != worst[task][name] and better([score, worst[task][name]]) != score):
            worst[task] = answer | {name: score}
    tasks = sorted(best, key=lambda task: task or "")[:_TASKS]
    chosen: Iterable[tuple[str, dict[str, Any]]] = (
        (kind, answers[task])
        for task in tasks
        for kind, answers in (("best", best), ("worst", worst))
        if kind == "best" or worst[task] != best[task]
    )
    return [_example(run, kind, answer, routed=cell.stored.routing != FIXED) for kind, answer in chosen]


def _example(run: Run, kind: str, answer: dict[str, Any], routed: bool) -> Example:
    task, pool = answer["task"], answer["pool"]
    adapter = pool_label(run, pool)
    trained_on = run.truth.majority_task(pool) if run.truth and pool is not None else None
    if routed and None not in (task, trained_on) and trained_on != task:
        adapter += " – not of its task"
    facts = [(run.metric.title, number(answer[run.metric.name])), ("adapter", adapter)]
    if answer.get("margin") is not None:
        facts.append(("margin", number(answer["margin"])))
    texts = [
        ("Input", _shortened(str(answer["instruction"]), _INPUT)),
        ("Answer", _shortened(str(answer["answer"]), _INPUT) or "(nothing)"),
        ("Reference", _shortened(str(answer["reference"]), _INPUT)),
    ]
    heading = f"{task}: {kind} answer" if task is not None else f"The {kind} answer"
    return Example(heading, [*facts, ("client", str(answer["client"]))], texts)


def _score(run: Run, answer: dict[str, Any]) -> float | None:
    """Return what an answer scores by the run's metric; its file has the loss summed over tokens."""
    value = answer.get(run.metric.name)
    return None if value is None else float(value) / (answer["tokens"] if run.metric.name == "loss" else 1)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _provenance(run: Run) -> Grid:
    """Return what the manifest says: versions, machine and digests."""
    rows = []
    for key, value in run.manifest.items():
        if key in ("notes", "data_notes"):  # which have a section
            continue
        if isinstance(value, dict):
            value = ", ".join(f"{name} {of_name}" for name, of_name in value.items())
        elif isinstance(value, list):
            value = ", ".join(map(str, value[:_LISTED])) + (", ..." if len(value) > _LISTED else "")
        if value not in (None, ""):
            rows.append([Entry(key.replace("_", " ")), Entry(str(value))])
    return Grid("The manifest of the run", (), rows, folded=True)


def _gaps(run: Run) -> Grid | None:
    """Return, for each round, the gap of mean factors over the pools; None where no pool averaged several updates."""
    rows = []
    for round_, of_pools in round_gaps(run.rounds()).items():
        largest = max(of_pools, key=lambda pool: of_pools[pool])
        fields = [f"{fmean(of_pools.values()):.2%}", f"{of_pools[largest]:.2%}", pool_label(run, largest)]
        rows.append([Entry(str(round_)), *map(Entry, fields)])
    heads = ("Round", "Mean over adapters", "Largest", "Adapter")
    caption = "Gap between the mean of products B A and the product of mean factors, relative to the former"
    return Grid(caption, heads, rows, folded=True) if rows else None


def _numbers(summary: Summary, metric: Metric) -> Grid:
    """Return the terminal's table of the summary as one for the page."""
    table = summary_table(summary, metric)
    rows: Sequence[tuple[Any, ...]] = list(zip(*(column.cells for column in table.columns), strict=True))
    return Grid(
        "What the run scored and what it cost",
        (),
        [[Entry(Text.from_markup(str(field)).plain, best="[bold]" in str(field)) for field in row] for row in rows],
    )
