"""Metrics, one file each: what is measured of every answer."""

import math
from typing import TYPE_CHECKING, Any

from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.evaluation.metrics.metric import Answered, Metric

METRICS: "Table[Metric]" = Table(
    kind="metric",
    flag="--metric",
    base="fedrouter_sim.evaluation.metrics.metric:Metric",
    rows={  # in the order of tables and files
        "rouge1": "fedrouter_sim.evaluation.metrics.rouge:Rouge1",
        "rouge2": "fedrouter_sim.evaluation.metrics.rouge:Rouge2",
        "rouge_l": "fedrouter_sim.evaluation.metrics.rouge:RougeL",
        "exact_match": "fedrouter_sim.evaluation.metrics.exact_match:ExactMatch",
        "balanced_accuracy": "fedrouter_sim.evaluation.metrics.classification:BalancedAccuracy",
        "macro_f1": "fedrouter_sim.evaluation.metrics.classification:MacroF1",
        "loss": "fedrouter_sim.evaluation.metrics.token_loss:TokenLoss",
    },
)

DEFAULT_METRIC = "rouge1"
LOSS = "loss"
"""The metric that stands beside the one that is shown first, wherever that is: it decides with fewer samples."""
TAKEN = "samples client task instruction reference pool answer tokens margin confidence weights unseen".split()
"""What else stands beside scores in files, so that no metric may be called so."""


def find_metric(name: str, options: Options | None = None) -> "Metric":
    """Return a metric by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such metric.
    """
    metric = METRICS.find(name, options)
    if metric.name not in METRICS.rows:
        _check(metric)
    return metric


def measured(metric: "Metric", sample: "Answered") -> float | None:
    """Measure one answer; what is the user's own is checked.

    Raises:
        UserError: the metric fails, or gives what is neither a finite number nor None.
    """
    if metric.name in METRICS.rows:
        return metric.measure(sample)
    try:
        value: Any = metric.measure(sample)
    except Exception as error:
        raise UserError(f"--metric {metric.name}: fails ({type(error).__name__}: {first_line(error)})") from error
    if value is not None and not (isinstance(value, int | float) and math.isfinite(value)):
        raise UserError(f"--metric {metric.name}: measure gave {value!r}; it has to give a finite number or None")
    return None if value is None else float(value)


def _check(metric: "Metric") -> None:
    """Refuse a user's metric that cannot be shown or measured, before any work."""
    from fedrouter_sim.evaluation.metrics.metric import Answered

    if not isinstance(getattr(metric, "title", None), str):
        raise UserError(f"--metric {metric.name}: has no title; set `title = ...` in the class")
    if metric.name in TAKEN:
        raise UserError(f"--metric {metric.name}: is a key of the files of scores; take another name")
    measured(metric, Answered("a reference", "an answer", labels=False, loss=1.0, tokens=2))


def all_metrics(first: "Metric") -> "list[Metric]":
    """Return all metrics that are measured when one is shown first: the shipped ones, and it if it is the user's."""
    shipped = [METRICS.find(name) for name in METRICS.names]
    return shipped if first.name in METRICS.rows else [*shipped, first]
