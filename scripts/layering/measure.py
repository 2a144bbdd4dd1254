"""What is measured of one run: its score on validation rows, and the seconds that training took."""

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.validation import ValidationCurve
from fedrouter_sim.federation.federation import build_federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.simulation import simulate


def measured(config: RunConfig, backbone: Backbone) -> dict[str, float]:
    """Train a federation, score it on validation rows in the rounds that the settings name, and write nothing.

    Returns:
        The last scores, `score` by the metric of the settings and `loss` in nats a token, and the `seconds` of training
        and aggregation; what lower layers make of rows is in them, discovery and answers are not.

    Raises:
        UserError: the data have no validation rows.
    """
    data, method, metric = partition_data(config), find_method(config.method, {}), find_metric(config.metric, {})
    if not data.validation:
        raise UserError(f"--data {config.data}: there are no validation rows; give one file, which is split")
    federation = build_federation(config, data, backbone)
    curve = ValidationCurve(config, data.shares.validation, backbone, method, metric, federation.longest_answer)
    records = simulate(federation, method, Observer(), curve).records
    scores = records[-1].validation or {}
    seconds = sum(sum(record.seconds.values()) for record in records)
    return {"score": scores[metric.name], "loss": scores["loss"], "seconds": round(seconds, 1)}
