"""Metrics, one file each: what is measured of every answer."""

from typing import TYPE_CHECKING

from fedrouter_sim.tables import Options, Table

if TYPE_CHECKING:
    from fedrouter_sim.evaluation.metrics.metric import Metric

METRICS: "Table[Metric]" = Table(
    kind="metric",
    flag="--metric",
    base="fedrouter_sim.evaluation.metrics.metric:Metric",
    rows={  # in the order of tables and files
        "rouge1": "fedrouter_sim.evaluation.metrics.rouge:Rouge1",
        "rouge2": "fedrouter_sim.evaluation.metrics.rouge:Rouge2",
        "rouge_l": "fedrouter_sim.evaluation.metrics.rouge:RougeL",
        "exact_match": "fedrouter_sim.evaluation.metrics.exact_match:ExactMatch",
        "loss": "fedrouter_sim.evaluation.metrics.token_loss:TokenLoss",
    },
)

DEFAULT_METRIC = "rouge1"


def find_metric(name: str, options: Options | None = None) -> "Metric":
    """Return a metric by its name, or the user's own by FILE.py:CLASS.

    Raises:
        UserError: there is no such metric.
    """
    return METRICS.find(name, options)


def all_metrics(first: "Metric") -> "list[Metric]":
    """Return all metrics that are measured when one is shown first: the shipped ones, and it if it is the user's."""
    shipped = [METRICS.find(name) for name in METRICS.names]
    return shipped if first.name in METRICS.rows else [*shipped, first]
