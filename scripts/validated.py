"""What is measured of one run: its scores on validation rows round by round, and the seconds that training took."""

from collections.abc import Mapping
from time import process_time
from typing import Any

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.validation import ValidationCurve
from fedrouter_sim.federation.federation import build_federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.plan import Deployment
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.simulation import simulate

Point = dict[str, Any]


def measured(config: RunConfig, backbone: Backbone) -> list[Point]:
    """Train a federation, score it on validation rows in the rounds that the settings name, and write nothing.

    Returns:
        For each of those rounds: the `steps` of all clients so far, the scores, `score` by the metric of the settings
        and `loss` in nats a token, and the processor's `seconds` of training and aggregation so far; what lower layers
        make of rows is in them, discovery and answers are not.

    Raises:
        UserError: the data have no validation rows.
    """
    data, method, metric = partition_data(config), find_method(config.method, {}), find_metric(config.metric, {})
    if not data.validation:
        raise UserError(f"--data {config.data}: there are no validation rows; give one file, which is split")
    federation = build_federation(config, data, backbone)
    curve = ValidationCurve(config, data.shares.validation, backbone, method, metric, federation.longest_answer)
    plan = method.plan(federation)
    points: list[Point] = []
    started, answering = process_time(), 0.0

    def validate(round_: int, deployment: Deployment, adapters: Mapping[str, Adapter]) -> dict[str, float] | None:
        nonlocal answering
        now = process_time()
        scores = curve(round_, deployment, adapters)
        if scores:
            values = {
                "score": scores[metric.name],
                "loss": scores["loss"],
                "seconds": round(now - started - answering, 1),
            }
            points.append({"steps": round_ * config.local_steps * config.clients, **values})
        answering += process_time() - now
        return scores

    simulate(federation, method, Observer(), validate, plan)
    return points
