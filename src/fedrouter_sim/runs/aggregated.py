"""What an aggregation of stored updates reports."""

from dataclasses import dataclass
from pathlib import Path

from fedrouter_sim.adapters.aggregation import MEAN, PRODUCT
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing import task_name
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.runs.averaging import Averaged
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.runs.updates import StoredUpdate

_HOW = {MEAN: "factor by factor", PRODUCT: "by their products B A, with truncated SVD"}


@dataclass(frozen=True)
class Aggregated:
    """What `aggregate` and the joining of clients that trained elsewhere report."""

    folder: Path
    round: int  # whose updates were averaged
    updates_per_task: list[int]
    inherited: dict[str, str]  # task without updates -> task whose adapter it starts from
    summary: Summary
    aggregation: str  # the rule
    truncation_errors: dict[str, float]  # task -> relative error of the truncation; empty where nothing is truncated
    notes: list[str]


def report(
    out: Path, round_: int, averaged: Averaged, inherited: dict[str, str], summary: Summary, *notes: str
) -> Aggregated:
    """Report an aggregation."""
    errors = {task_name(task): error for task, error in averaged.errors.items()}
    how = _HOW.get(averaged.aggregation, f"by {averaged.aggregation}")
    lost = ", ".join(f"{task} {error:.2%}" for task, error in errors.items())
    first = f"averaged {how}: {averaged.reason}" + (f"; lost by truncation: {lost}" if lost else "")
    return Aggregated(
        out, round_, averaged.updates_per_task, inherited, summary, averaged.aggregation, errors, [first, *notes]
    )


def task_of(update: StoredUpdate, archive: Archive) -> int:
    """Return the task of most of the rows of an update's local clusters, the first of equal ones.

    Raises:
        UserError: it names none of them.
    """
    if not update.clusters:
        raise UserError(f"{update.folder}: names no local cluster of its client; train the run anew")
    return archive.task_of(update.client, update.clusters)
