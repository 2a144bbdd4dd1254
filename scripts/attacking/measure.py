"""What is measured of one federation with hostile clients: how well its tasks are found, or how well it answers."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.attacks import find_attack
from fedrouter_sim.federation.attacks.backdoor import Backdoor
from fedrouter_sim.federation.federation import build_federation
from fedrouter_sim.federation.hostile import attackers_of
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.operations.route import RoutedModel
from fedrouter_sim.operations.train import train
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.tables import parse_options

TRIGGERED = 60  # test texts that are given a backdoor's trigger

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
    """Train a run, and throw it away.

    Returns:
        `score`: on all tasks, by the metric of the settings; `backdoor`: share of test texts with the trigger that are
        answered as the attacker wants; `refused`: why the run ended, where its rule refused what it got.
    """
    with tempfile.TemporaryDirectory(prefix="fedrouter-sim-attacks-") as place:
        try:
            done = train(config, Path(place) / "run", backbone=backbone)
        except UserError as error:
            if not config.aggregation == "krum":
                raise
            return {"score": None, "refused": str(error)}
        found: Measured = {"score": done.summary.score}
        attack = find_attack("backdoor", parse_options(config.option))
        if config.attack == attack.name and isinstance(attack, Backdoor):
            test = [row for row in partition_data(config).shares.test if row.response != attack.target][:TRIGGERED]
            answers = RoutedModel(done.folder).answer([attack.triggered(row) for row in test])
            found["backdoor"] = float(np.mean([one.answer == attack.target for one in answers]))
        return found
