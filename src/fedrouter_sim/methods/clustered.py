"""Clustered federated learning (Sattler et al. 2020, arXiv 1910.01991, in spirit): clients are grouped, not samples."""

from dataclasses import replace

import numpy as np
from sklearn.cluster import AgglomerativeClustering

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.kmeans import numbered_by_first
from fedrouter_sim.clustering.linking import cut_in, link
from fedrouter_sim.clustering.normalizing import unit_rows
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, LastRound, Plan, client_pool, pools_of
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.randomness import derive_seed


class Clustered(FedAvg):
    """FedAvg for the warm-up rounds; then clients of like updates form pools of their own, once and for all.

    Likeness is that of the LoRA B factors' changes in the last warm-up round, each client's scaled to unit length,
    under Ward linkage into a given number of pools (`tasks`), or, where that is to be found, under average linkage of
    their cosines up to `cut`.
    """

    name = "clustered"
    uses = frozenset({"tasks", "cut", "warmup_rounds", "lr_scaling"})
    plans_by_clients = True

    def plan(self, federation: Federation) -> Plan:
        """Plan as FedAvg does, until the clients are grouped.

        Raises:
            UserError: there are no two rounds, or the warm-up leaves none in which there are groups.
        """
        plan, config = super().plan(federation), federation.config
        if config.rounds < 2:
            raise UserError(
                f"--rounds {config.rounds}: method clustered groups the clients after a round and trains the groups in "
                "the next; give at least 2"
            )
        if config.warmup_rounds >= config.rounds:
            raise UserError(
                f"--warmup-rounds {config.warmup_rounds}: must be below --rounds {config.rounds}, or the clients are "
                "never grouped"
            )
        return replace(plan, until=config.warmup_rounds, more_follows=True)

    def next_plan(self, federation: Federation, last: LastRound) -> Plan:
        """Group the clients by their updates, once; one that has none to send joins the pool of most clients."""
        changes, tasks = _changes_of_b(last), federation.config.tasks
        if isinstance(tasks, str):
            seed = derive_seed(federation.config.seed, "micro-clusters")
            known = link(unit_rows(changes), cut_in(federation.config.cut), seed=seed).labels
        else:
            known = ward(changes, tasks)
        of_client = dict(zip((update.client for update in last.updates), known.tolist(), strict=True))
        labels = [of_client.get(group.client, int(np.bincount(known).argmax())) for group in last.plan.groups]
        names = [f"clients_{label}" for label in labels]
        groups = tuple(replace(group, pool=name) for group, name in zip(last.plan.groups, names, strict=True))
        parent = last.plan.pools[0].name
        pools = pools_of(groups, sorted(set(names)))
        members = {client_pool(group.client): np.array([label]) for group, label in zip(groups, labels, strict=True)}
        return Plan(groups, tuple(replace(pool, parent=parent) for pool in pools), state=members)

    def answered_by(self, deployment: Deployment, asked: Asked, routing: str) -> list[Choice]:
        """Answer by the adapter of the client's pool; by the global one as long as there are no others."""
        if not deployment.state:
            return super().answered_by(deployment, asked, routing)
        label = int(deployment.state[client_pool(asked.client)][0])
        return [Choice.of(f"clients_{label}")] * len(asked.instructions)


def ward(changes: Floats, pools: int) -> Ints:
    """Group the rows of (n, d), each scaled to unit length, into at most `pools` by Ward linkage; numbered by first."""
    if len(changes) <= pools:
        return np.arange(len(changes))
    unit = changes.astype(np.float64)  # as the linkage computes; the only copy
    for row in unit:
        row /= np.sqrt(np.square(row).sum()) or 1  # a client without change stays at 0
    found = AgglomerativeClustering(n_clusters=pools, linkage="ward").fit_predict(unit)
    return numbered_by_first(found)


def _changes_of_b(last: LastRound) -> Floats:
    """Return how each update of a round changed the B factors, (n, d)."""
    first = last.updates[0].adapter
    changes = np.empty((len(last.updates), sum(first[key].numel() for key in _keys_of_b(first))), dtype=np.float32)
    for row, update in zip(changes, last.updates, strict=True):
        start = last.starts[update.pool]
        parts = [(update.adapter[key] - start[key]).numpy().ravel() for key in _keys_of_b(first)]
        np.concatenate(parts, out=row)
    return changes


def _keys_of_b(adapter: Adapter) -> list[str]:
    return sorted(key for key in adapter if "lora_B" in key)
