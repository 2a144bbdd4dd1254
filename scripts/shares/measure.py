"""What is measured of one run: how well it answers own data and all tasks, and what it took."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.evaluation.scores import CellResult
from fedrouter_sim.operations.train import train
from fedrouter_sim.partition.test_data import ALL, OWN

Measured = dict[str, float | None]

KINDS = ("rouge1", "loss", "balanced_accuracy")


def measured(config: RunConfig, backbone: Backbone) -> Measured:
    """Train a run and answer its test samples; its folder is not kept.

    Returns:
        Every kind of `KINDS` for own data and for all tasks, as 'own rouge1', and for each task on all tasks, as
        'all loss/headline'; `routing`: accuracy; `seconds` of training and aggregation; `megabytes` up and down.
    """
    with tempfile.TemporaryDirectory() as place:
        done = train(config, Path(place) / "run", backbone=backbone)
    found: Measured = {}
    for data in (OWN, ALL):
        result = _first(done.results, data)
        for kind in KINDS:
            found[f"{data} {kind}"] = result.mean.values.get(kind)
            if data == ALL:
                found |= {f"{data} {kind}/{task}": scores.values.get(kind) for task, scores in result.per_task.items()}
    summary = done.summary
    found["routing"] = summary.routing_accuracy
    found["seconds"] = summary.seconds.get("train", 0.0) + summary.seconds.get("aggregate", 0.0)
    found["megabytes"] = (summary.bytes_up + summary.bytes_down) / 1e6
    return found


def _first(results: Sequence[CellResult], data: str) -> CellResult:
    """Return the cell on some test data that the run shows first."""
    return next(result for result in results if result.cell.test_data == data)
