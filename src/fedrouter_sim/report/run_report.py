"""The page of one run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from fedrouter_sim.report.page import Entry, Example, Examples, Figures, Grid, Section, rendered
from fedrouter_sim.report.run_figures import run_figures
from fedrouter_sim.report.run_records import main_cell, pool_label, read_answers, read_cells
from fedrouter_sim.report.tables import number, summary_table
from fedrouter_sim.runs.run_folder import Run
from fedrouter_sim.storage import write_text

PAGE_NAME = "report.html"
FIGURES_NAME = "figures"

_TASKS = 12  # with examples
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
    sections = [Section("Numbers", blocks=[_numbers(summary)])]
    if drawings:
        sections.append(Section("Figures", blocks=[Figures(drawings)]))
    if examples:
        text = "Of every task the best and the worst answer, by ROUGE-1; of equal ones the first."
        sections.append(Section("Routed examples", [text], [Examples(examples)]))
    lead = [f"Split {summary['split']}, {summary['clients']} clients, seed {summary['seed']}; run {run.folder.name}."]
    lead.append(f"Backbone: {run.backbone}.")
    if not read_cells(run):
        lead.append("The run was not evaluated yet: `fedrouter-sim eval` makes scores, this report then shows them.")
    for drawing in drawings:
        write_text(run.folder / FIGURES_NAME / f"{drawing.name}.svg", drawing.svg)
    path = run.folder / PAGE_NAME
    write_text(path, rendered(f"Federated fine-tuning with {summary['method']}", lead, sections))
    return path


def routed_examples(run: Run) -> list[Example]:
    """Return the best and the worst answered sample of each task in the run's main cell; none without a cell."""
    cell = main_cell(read_cells(run))
    if cell is None:
        return []
    best: dict[str | None, dict[str, Any]] = {}
    worst: dict[str | None, dict[str, Any]] = {}
    for answer in read_answers(run, cell):
        task = answer["task"]
        if task not in best or answer["rouge1"] > best[task]["rouge1"]:
            best[task] = answer
        if task not in worst or answer["rouge1"] < worst[task]["rouge1"]:
            worst[task] = answer
    tasks = sorted(best, key=lambda task: task or "")[:_TASKS]
    chosen: Iterable[tuple[str, dict[str, Any]]] = (
        (kind, answers[task])
        for task in tasks
        for kind, answers in (("best", best), ("worst", worst))
        if kind == "best" or worst[task] is not best[task]
    )
    return [_example(run, kind, answer, routed=cell.routing != "fixed") for kind, answer in chosen]


def _example(run: Run, kind: str, answer: dict[str, Any], routed: bool) -> Example:
    task, pool = answer["task"], answer["pool"]
    adapter = pool_label(run, pool)
    trained_on = run.truth.majority_task(pool) if run.truth and pool is not None else None
    if routed and None not in (task, trained_on) and trained_on != task:
        adapter += " – not of its task"
    facts = [("ROUGE-1", number(answer["rouge1"])), ("adapter", adapter)]
    if answer.get("margin") is not None:
        facts.append(("margin", number(answer["margin"])))
    texts = [
        ("Input", _shortened(str(answer["instruction"]), _INPUT)),
        ("Answer", _shortened(str(answer["answer"]), _INPUT) or "(nothing)"),
        ("Reference", _shortened(str(answer["reference"]), _INPUT)),
    ]
    heading = f"{task}: {kind} answer" if task is not None else f"The {kind} answer"
    return Example(heading, [*facts, ("client", str(answer["client"]))], texts)


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _numbers(summary: dict[str, Any]) -> Grid:
    """Return the terminal's table of the summary as one for the page."""
    table = summary_table(summary)
    rows: Sequence[tuple[Any, ...]] = list(zip(*(column.cells for column in table.columns), strict=True))
    return Grid(
        "What the run scored and what it cost",
        (),
        [[Entry(Text.from_markup(str(field)).plain, best="[bold]" in str(field)) for field in row] for row in rows],
    )
