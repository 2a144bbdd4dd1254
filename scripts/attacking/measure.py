"""What is measured of one federation with hostile clients: how well its tasks are found, or how well it answers."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.metrics import adjusted_rand_score

from fedrouter_sim.answerer import Answerer
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.scores import Cell
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.attacks.backdoor import Backdoor
from fedrouter_sim.federation.federation import build_federation
from fedrouter_sim.federation.hostile import attack_of, attackers_of
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.partition.test_data import ALL
from fedrouter_sim.routing import GLOBAL
from fedrouter_sim.simulation import simulate
from fedrouter_sim.tables import parse_options

TESTED = 80  # test rows that are answered

Measured = dict[str, float | str | None]


def clustered(config: RunConfig, backbone: Backbone) -> Measured:
    """Find the tasks of a federation and make its router; nothing is trained.

    Returns:
        `ari`: of the honest clients' rows, found tasks with true ones; `routing`: share of the test rows that are
        routed to a task that most honest rows of which are of theirs; `tasks`: how many were found.
    """
    data = partition_data(config)
    federation = build_federation(config, data, backbone)
    plan = FedRouter().plan(federation)
    hostile = attackers_of(len(data.clients), config)
    rows: list[tuple[str, str]] = []
    for group in plan.groups:
        if group.client not in hostile:
            rows += [(group.pool, data.clients[group.client].train[i].task or "") for i in group.examples]
    held: dict[str, Counter[str]] = {}
    for pool, task in rows:
        held.setdefault(pool, Counter())[task] += 1
    mostly = {pool: counts.most_common(1)[0][0] for pool, counts in held.items()}
    test = data.shares.test
    if plan.router is None:
        raise ValueError("fedrouter makes a router")
    routed = plan.router.route(backbone.embed([row.instruction for row in test])).task.tolist()
    right = [mostly.get(plan.pools[task].name) == row.task for task, row in zip(routed, test, strict=True)]
    return {
        "ari": float(adjusted_rand_score([task for _, task in rows], [pool for pool, _ in rows])),
        "routing": float(np.mean(right)),
        "tasks": float(len(plan.pools)),
    }


def answered(config: RunConfig, backbone: Backbone) -> Measured:
    """Train a federation, and have its adapters answer test rows; nothing is written.

    Returns:
        `score`: mean over the test rows by the metric of the settings; `backdoor`: share of test rows with the trigger
        that are answered as the attacker wants; `refused`: what the rule said, where it refused what it got.
    """
    data, method, options = partition_data(config), FedRouter(), parse_options(config.option)
    federation = build_federation(config, data, backbone)
    try:
        outcome = simulate(federation, method, Observer())
    except UserError as error:
        if config.aggregation != "krum":
            raise
        return {"score": None, "refused": str(error)}
    answerer = Answerer(backbone, method, outcome.deployment, outcome.adapters.__getitem__, federation.longest_answer)
    metric = find_metric(config.metric, options)
    test = spread(data.shares.test)
    result = Evaluator(answerer, None, metric).evaluate(Cell(ALL, GLOBAL), {0: test})
    found: Measured = {"score": result.mean.values[metric.name]}
    attack = attack_of(config)
    if isinstance(attack, Backdoor):
        asked = [attack.triggered(row) for row in test if row.response != attack.target]
        weights = [choice.weights for choice in answerer.choose(asked, None, GLOBAL)]
        answers = [one for batch in answerer.answer(weights, asked) for one in batch.generated.answers]
        found["backdoor"] = float(np.mean([one.strip() == attack.target for one in answers]))
    return found


def spread(rows: Sequence[Example]) -> list[Example]:
    """Return `TESTED` rows, as many of each task."""
    by_task: dict[str | None, list[Example]] = {}
    for row in rows:
        by_task.setdefault(row.task, []).append(row)
    return [row for own in by_task.values() for row in own[: TESTED // len(by_task)]]
