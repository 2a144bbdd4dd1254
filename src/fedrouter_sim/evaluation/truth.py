"""What is known of the true tasks, for measuring only: how many examples of each label went where.

Counted from training labels after the plan is fixed. No method reads it; the `oracle` routing of a fedrouter run does.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.agreement import clustering_agreement, mean
from fedrouter_sim.partition.run_data import RunData
from fedrouter_sim.routing import task_name
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.simulation import Stage
from fedrouter_sim.storage import read_json, write_json
from fedrouter_sim.typed import Count, taken

_REMEDY = "train the run anew"

Counts = Mapping[str, int]
"""Label -> number of training examples."""


@dataclass(frozen=True)
class Agreement:
    """How well found clusters agree with true tasks; None where there is nothing to compare."""

    ari_local: float | None = None  # mean over clients with at least two tasks
    nmi_local: float | None = None
    ari_global: float | None = None  # over all training examples
    nmi_global: float | None = None


@dataclass(frozen=True)
class Truth:
    """Label counts of every pool and, where the method clusters, of every client's local clusters."""

    pools: Mapping[str, Counts]
    clusters: Mapping[int, Sequence[Counts]]
    tasks: Mapping[int, Sequence[int]] = field(default_factory=dict)
    """Client -> task of each local cluster, where there are more of them than tasks on purpose and affinity linked
    them: the local agreement is then that of the client's clusters of one task taken together."""

    @classmethod
    def of(cls, stages: Sequence[Stage], data: RunData) -> "Truth | None":
        """Count the labels of all that a run's final pools were trained on; None for unlabelled data."""
        labels = [data.labels(stage.drifted, stage.plan.gathered) for stage in stages]
        if any(task is None for of_stage in labels for tasks in of_stage.values() for task in tasks):
            return None
        pools: dict[str, Counter[str]] = {pool.name: Counter() for pool in stages[-1].plan.pools}
        ends = [stage.begins for stage in stages[1:]] + [math.inf]
        for stage, of_client, end in zip(stages, labels, ends, strict=True):
            if stage.begins == end:
                continue  # the clients drifted before they trained
            for group in stage.plan.groups:
                if group.pool in pools:
                    pools[group.pool].update(of_client[group.client][i] or "" for i in group.examples)
        plan = stages[0].plan
        # Under differential privacy a client sends as many centroids as all others: some are of no rows.
        sent = {message.client: len(message.sizes) for message in plan.archive.clients} if plan.archive else {}
        clusters = {
            client: [_count(labels[0][client], found == one) for one in range(sent.get(client, int(found.max()) + 1))]
            for client, found in plan.local_clusters.items()
        }
        tasks = _tasks_of(plan.archive) if plan.linked is not None and plan.archive is not None else {}
        return cls({name: _sorted(counts) for name, counts in pools.items()}, clusters, tasks)

    def reassigned(self, archive: Archive, tasks: int, linked: bool = False) -> "Truth":
        """Return the counts after the same local clusters were assigned to so many other tasks.

        Args:
            archive: the new assignment.
            tasks: their number.
            linked: whether affinity linked them; what was linked once stays taken together by task.
        """
        if any(len(self.clusters.get(m.client, ())) != len(m.sizes) for m in archive.clients):
            raise UserError(f"truth.json: is not of the clusters that the archive has; {_REMEDY}")
        pools: dict[str, Counter[str]] = {task_name(task): Counter() for task in range(tasks)}
        for message, assigned in zip(archive.clients, archive.assignment, strict=True):
            for counts, task in zip(self.clusters[message.client], assigned, strict=True):
                pools[task_name(task)].update(counts)
        together = _tasks_of(archive) if linked or self.tasks else {}
        return Truth({name: _sorted(counts) for name, counts in pools.items()}, self.clusters, together)

    def majority_task(self, pool: str) -> str | None:
        """Return the label that most of a pool's examples have; None for an empty pool."""
        counts = self.pools.get(pool, {})
        return max(counts, key=lambda label: counts[label]) if counts else None

    def pool_for(self, label: str | None) -> str | None:
        """Return the pool trained on most examples of a label (oracle routing); None if no pool saw it."""
        best = max(self.pools, key=lambda pool: self.pools[pool].get(label or "", 0), default=None)
        return best if best is not None and self.pools[best].get(label or "", 0) else None

    def agreement(self) -> Agreement:
        """Return ARI and NMI of local and global clusters with the true tasks."""
        if not self.clusters:
            return Agreement()
        held = [self._together(client) for client in self.clusters]
        mixed = [tables for tables in held if len(set().union(*tables)) > 1]
        local = [clustering_agreement(tables) for tables in mixed]
        ari, nmi = clustering_agreement([counts for counts in self.pools.values() if counts])
        return Agreement(mean(a for a, _ in local), mean(n for _, n in local), ari, nmi)

    def _together(self, client: int) -> Sequence[Counts]:
        """Return the counts of a client's local clusters that have rows, those of one task added up where they were
        linked."""
        if client not in self.tasks:
            return [counts for counts in self.clusters[client] if counts]
        found: dict[int, Counter[str]] = {}
        for counts, task in zip(self.clusters[client], self.tasks[client], strict=True):
            found.setdefault(task, Counter()).update(counts)
        return [counts for counts in found.values() if counts]

    def save(self, path: Path) -> None:
        """Write the counts as JSON."""
        record: dict[str, Any] = {"pools": self.pools}
        record["clusters"] = {str(client): counts for client, counts in self.clusters.items()}
        if self.tasks:
            record["tasks"] = {str(client): tasks for client, tasks in self.tasks.items()}
        write_json(path, record)

    @classmethod
    def load(cls, path: Path) -> "Truth | None":
        """Read the counts back; None where the run had no labels.

        Raises:
            UserError: the file is damaged.
        """
        if not path.exists():
            return None
        try:
            record = read_json(path, _REMEDY)
            tasks = taken(record, "tasks", Mapping[int, list[Count]], {})
            clusters = taken(record, "clusters", Mapping[int, list[Mapping[str, Count]]])
            if any(len(clusters.get(client, ())) != len(own) for client, own in tasks.items()):
                raise ValueError("tasks are not of as many clusters as there are")
            return cls(taken(record, "pools", Mapping[str, Mapping[str, Count]]), clusters, tasks)
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {_REMEDY}") from None


def _tasks_of(archive: Archive) -> dict[int, Sequence[int]]:
    clients = zip(archive.clients, archive.assignment, strict=True)
    return {message.client: list(assigned) for message, assigned in clients}


def _count(labels: Sequence[str | None], chosen: Sequence[bool]) -> Counts:
    return _sorted(Counter(label or "" for label, taken in zip(labels, chosen, strict=True) if taken))


def _sorted(counts: Counter[str]) -> Counts:
    return dict(sorted(counts.items()))
