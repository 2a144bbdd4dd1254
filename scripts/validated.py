"""What is measured of one run: its scores on validation rows round by round, and the seconds that training took."""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from time import process_time
from typing import Any

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.answering import Generated
from fedrouter_sim.backbone.asking import Asking, Replies
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


def measured(config: RunConfig, backbone: Backbone, answers: bool = True) -> list[Point]:
    """Train a federation, score it on validation rows in the rounds that the settings name, and write nothing.

    Args:
        config: the settings.
        backbone: the run's backbone.
        answers: whether rows are answered; without, which takes a fraction of the time, there is the loss alone.

    Returns:
        For each of those rounds: its number, `round`, the `steps` of all clients so far, the scores, `score` by the
        metric of the settings (with answers) and `loss` in nats a token (infinite, if that of a client is not finite),
        and the processor's `seconds` of training and aggregation so far; what lower layers make of rows is in them,
        discovery and answers are not.

    Raises:
        UserError: the data have no validation rows.
    """
    data, method, metric = partition_data(config), find_method(config.method, {}), find_metric(config.metric, {})
    if not data.validation:
        raise UserError(f"--data {config.data}: there are no validation rows; give one file, which is split")
    federation = build_federation(config, data, backbone)
    longest, replies = federation.longest_answer, None if answers else partial(_losses_alone, backbone)
    curve = ValidationCurve(config, data.shares.validation, backbone, method, metric, longest, replies)
    plan = method.plan(federation)
    points: list[Point] = []
    started, answering = process_time(), 0.0

    def validate(round_: int, deployment: Deployment, adapters: Mapping[str, Adapter]) -> dict[str, float] | None:
        nonlocal answering
        now = process_time()
        scores = curve(round_, deployment, adapters)
        if scores:
            values = {"score": scores[metric.name]} if answers else {}
            values |= {"loss": scores.get("loss", math.inf), "seconds": round(now - started - answering, 1)}
            points.append({"round": round_, "steps": round_ * config.local_steps * config.clients, **values})
        answering += process_time() - now
        return scores

    simulate(federation, method, Observer(), validate, plan)
    return points


def _losses_alone(backbone: Backbone, asked: Iterable[Asking]) -> Iterator[Replies]:
    for one in asked:
        scores = backbone.score(one.adapter, backbone.encoder.examples(one.examples))
        yield Replies(Generated([""] * len(one.examples), set()), scores)
