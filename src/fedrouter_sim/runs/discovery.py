"""What a run says of how its tasks were found: discovery.json, and the arrays in discovery.safetensors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fedrouter_sim.arrays import Ints
from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Deployment
from fedrouter_sim.runs.births import Asleep, Birth, asleep_after, births_of
from fedrouter_sim.simulation import Stage
from fedrouter_sim.storage import read_json, write_json
from fedrouter_sim.tensors import Tensors
from fedrouter_sim.typed import Count, taken

DISCOVERY_NAME = "discovery.json"
ARRAYS_NAME = "discovery.safetensors"
_REMEDY = "train or aggregate the run anew"


@dataclass(frozen=True)
class TaskFound:
    """One task: who holds it, and how sharply it stands apart. Affinities are means, as linkage goes by them."""

    rows: Count
    local_clusters: Count  # that were linked, by the task of most of their rows in the end
    clients: Mapping[int, Count]  # client -> its rows
    within: float | None  # the lowest, over its units, of the affinity to the others of the task; None: it has one
    to_other: float | None  # the highest, over the other tasks, of the affinity to one; None: there is no other


@dataclass(frozen=True)
class Discovery:
    """How local clusters became tasks, and what that cost."""

    affinity: str  # its name
    linked: Linked
    tasks: tuple[TaskFound, ...]
    traffic: Traffic  # of planning
    births: tuple[Birth, ...] = ()  # tasks that came later; `tasks` are those of before round 1
    sleeping: tuple[Asleep, ...] = ()  # tasks that no client has rows of in the end

    @classmethod
    def of(cls, deployment: Deployment, linked: Linked | None, affinity: str, traffic: Traffic) -> "Discovery | None":
        """Describe the tasks of a router; None where no local clusters were linked.

        Args:
            deployment: has the router, and the archive with what each client holds of each task.
            linked: how local clusters were linked.
            affinity: by which; its name.
            traffic: what planning sent.
        """
        router, archive = deployment.router, deployment.archive
        if linked is None or router is None or archive is None:
            return None
        held: list[dict[int, int]] = [{} for _ in router.centroids]
        for message, assigned in zip(archive.clients, archive.assignment, strict=True):
            for size, task in zip(message.sizes.tolist(), assigned, strict=True):
                held[task][message.client] = held[task].get(message.client, 0) + size
        ended = (linked.labels if linked.corrected is None else linked.corrected).tolist()
        means = _mean_affinities(linked, len(held))
        of_unit = linked.unit_tasks
        tasks = tuple(
            TaskFound(sum(own.values()), ended.count(task), own, *_apart(means, of_unit, task))
            for task, own in enumerate(held)
        )
        return cls(affinity, linked, tasks, traffic)

    @classmethod
    def of_stages(cls, stages: Sequence[Stage], affinity: str) -> "Discovery | None":
        """Describe how the tasks of a run's first plan were found, and what became of them."""
        first = stages[0]
        found = cls.of(first.plan.deployment, first.plan.linked, affinity, first.planning)
        return found and replace(found, births=births_of(stages), sleeping=asleep_after(stages))

    @property
    def linked_tasks(self) -> int:
        """How many tasks linkage found, before rows were corrected and what clients hold of a task linked again."""
        return int(self.linked.labels.max()) + 1

    def save(self, folder: Path) -> None:
        """Write both files; the same discovery, the same bytes."""
        record = {
            "tasks_found": len(self.tasks),
            "affinity": self.affinity,
            "cut": self.linked.cut,
            "local_clusters": len(self.linked.labels),
            "units": len(self.linked.affinity),
            "linked_tasks": self.linked_tasks,
            "rows_sketched": self.linked.rows_sketched,
            "bytes_up": self.traffic.up,
            "bytes_down": self.traffic.down,
            "tasks": [asdict(task) | {"clients": {str(c): n for c, n in task.clients.items()}} for task in self.tasks],
        }
        # Only where there is something to say: the record of other runs is as it was.
        record |= {"births": [asdict(one) for one in self.births]} if self.births else {}
        record |= {"sleeping": [asdict(one) for one in self.sleeping]} if self.sleeping else {}
        write_json(folder / DISCOVERY_NAME, record)
        tensors = self.linked.tensors()
        (folder / ARRAYS_NAME).write_bytes(
            save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
        )

    @classmethod
    def load(cls, folder: Path) -> "Discovery | None":
        """Read a discovery back; None where the run has none, as runs from before it was written down.

        Raises:
            UserError: a file is missing or damaged.
        """
        path = folder / DISCOVERY_NAME
        if not path.exists():
            return None
        record = read_json(path, _REMEDY)
        try:
            tasks: tuple[TaskFound, ...] = taken(record, "tasks", tuple[TaskFound, ...])
            traffic = Traffic(taken(record, "bytes_up", Count), taken(record, "bytes_down", Count))
            name = taken(record, "affinity", str)
            births: tuple[Birth, ...] = taken(record, "births", tuple[Birth, ...], ())
            sleeping: tuple[Asleep, ...] = taken(record, "sleeping", tuple[Asleep, ...], ())
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {_REMEDY}") from None
        path = folder / ARRAYS_NAME
        tensors = Tensors(path, _REMEDY)
        try:
            linked = Linked.of_tensors(tensors)
        except ValueError as error:
            raise tensors.refused(str(error)) from None
        if int(linked.unit_tasks.max()) >= len(tasks):
            raise tensors.refused(f"it has more tasks than {DISCOVERY_NAME}")
        return cls(name, linked, tasks, traffic, births, sleeping)


def _mean_affinities(linked: Linked, tasks: int) -> NDArray[np.float64]:
    """Return the mean affinity of each unit to the units of each task, itself left out, (u, T); NaN to nothing."""
    of_unit, count = linked.unit_tasks, len(linked.affinity)
    others = linked.affinity.astype(np.float64)
    np.fill_diagonal(others, 0)
    member = np.eye(tasks)[of_unit]
    counts = np.broadcast_to(member.sum(axis=0), (count, tasks)) - member
    found = np.full((count, tasks), np.nan)
    np.divide(others @ member, counts, out=found, where=counts > 0)
    return found


def _apart(means: NDArray[np.float64], of_unit: Ints, task: int) -> tuple[float | None, float | None]:
    """Return the lowest mean affinity of a task's units to their own, and its highest to another task."""
    own = means[of_unit == task]
    if not len(own):  # all local clusters of its rows have more rows of another
        return None, None
    within, others = own[:, task], np.delete(own.mean(axis=0), task)
    others = others[~np.isnan(others)]
    return (
        float(within.min()) if len(own) > 1 else None,
        float(others.max()) if len(others) else None,
    )
