"""The archive: every client's local centroids and the tasks they were assigned to.

The server keeps it beside the router: `local` routing goes by it, and it can be clustered again without any client. A
router that is shipped does without.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fedrouter_sim.arrays import Floats, Ints
from fedrouter_sim.clustering.across_clients import split_by_client
from fedrouter_sim.clustering.trusting import counted_parts
from fedrouter_sim.messages import SENT_SKETCH, CentroidMessage
from fedrouter_sim.routing.router import RECIPE_NAME, TENSORS_NAME
from fedrouter_sim.storage import read_json
from fedrouter_sim.tensors import Tensors

ARCHIVE_NAME = "clients.safetensors"
MOST_TOKENS = 2**24
"""Of an answer: far beyond any context."""
_REMEDY = "train or aggregate the run anew"


@dataclass(frozen=True)
class Archive:
    """What clients sent of their local clusters, in the router's space, and where each cluster belongs."""

    clients: tuple[CentroidMessage, ...]  # in client order
    assignment: tuple[tuple[int, ...], ...]  # task of each local cluster of each client
    counted: tuple[tuple[int, ...], ...] | None = None  # 1 where a local cluster makes the router, else 0; None: all do

    @classmethod
    def of(
        cls, clients: Sequence[CentroidMessage], assignment: Sequence[tuple[int, ...]], robust: float = 0.0
    ) -> "Archive":
        """Make the archive, and set a share of the local clusters aside from the router (see `counted_parts`)."""
        if not robust:
            return cls(tuple(clients), tuple(assignment))
        counted = counted_parts(clients, robust, np.array([task for own in assignment for task in own]))
        return cls(tuple(clients), tuple(assignment), split_by_client(counted.astype(np.int64), clients))

    @cached_property
    def _place(self) -> dict[int, int]:
        return {message.client: place for place, message in enumerate(self.clients)}

    def tasks_of(self, client: int) -> list[int]:
        """Return the tasks that a client's own centroids were assigned to: the candidates of `local` routing."""
        return sorted(set(self.assignment[self._place[client]]))

    def local_clusters(self, client: int, clusters: Sequence[int]) -> tuple[Floats, Ints]:
        """Return the centroids (k, d) and sizes (k,) of some local clusters of a client."""
        message = self.clients[self._place[client]]
        return message.centroids[list(clusters)], message.sizes[list(clusters)]

    def task_of(self, client: int, clusters: Sequence[int]) -> int:
        """Return the task of most of the examples of some local clusters of a client, the first of equal ones."""
        place = self._place[client]
        counts: dict[int, int] = {}
        for cluster in clusters:
            task = self.assignment[place][cluster]
            counts[task] = counts.get(task, 0) + int(self.clients[place].sizes[cluster])
        return min(counts, key=lambda task: (-counts[task], task))

    def answer_tokens_of(self, client: int, clusters: Sequence[int]) -> Ints:
        """Return the longest training response in tokens, (k,), of some local clusters of a client."""
        return self.clients[self._place[client]].answer_tokens[list(clusters)]

    def answer_tokens(self, tasks: int) -> list[int]:
        """Return each of so many tasks' longest training response in tokens."""
        longest = [1] * tasks
        for message, assigned in zip(self.clients, self.assignment, strict=True):
            for tokens, task in zip(message.answer_tokens, assigned, strict=True):
                longest[task] = max(longest[task], int(tokens))
        return longest

    def save(self, folder: Path) -> None:
        """Write clients.safetensors; same archive, same bytes."""
        counts = [len(message.sizes) for message in self.clients]
        tensors: dict[str, NDArray[Any]] = {
            "client_centroids": np.concatenate([message.centroids for message in self.clients]),
            "client_cluster_sizes": np.concatenate([message.sizes for message in self.clients]),
            "client_answer_tokens": np.concatenate([message.answer_tokens for message in self.clients]),
            "client_ids": np.repeat([message.client for message in self.clients], counts).astype(np.int64),
            "assignment": np.concatenate([np.asarray(tasks, dtype=np.int64) for tasks in self.assignment]),
        }
        if self.counted is not None:
            tensors["client_counted"] = np.concatenate([np.asarray(own, dtype=np.int64) for own in self.counted])
        halves = [message.halves for message in self.clients if message.halves is not None]
        if len(halves) == len(self.clients):
            tensors["client_sketches"] = np.concatenate(halves)
        (folder / ARCHIVE_NAME).write_bytes(save({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}))

    @classmethod
    def load(cls, folder: Path) -> "Archive | None":
        """Read an archive back; None where the run has none. Older runs have it in the file of the router.

        Raises:
            UserError: the file is damaged.
        """
        path = folder / ARCHIVE_NAME
        if not path.exists():
            path = folder / TENSORS_NAME  # where format 1 had it
            if not path.exists() or read_json(folder / RECIPE_NAME, _REMEDY).get("format") != 1:
                return None
        tensors = Tensors(path, _REMEDY)
        owners = tensors.whole("client_ids", (None,))
        count = len(owners)
        centroids = tensors.floats("client_centroids", (count, None))
        sizes = tensors.whole("client_cluster_sizes", (count,), least=1)
        tokens = tensors.whole("client_answer_tokens", (count,), most=MOST_TOKENS)
        tasks = tensors.whole("assignment", (count,), most=count - 1)
        counted = tensors.whole("client_counted", (count,), most=1) if "client_counted" in tensors else None
        most, sketches = float(np.finfo(SENT_SKETCH).max), None
        if "client_sketches" in tensors:
            sketches = tensors.floats("client_sketches", (count, 2, None), most)
        if len(np.unique(tasks)) != int(tasks.max()) + 1:
            raise tensors.refused("a task has no local cluster")
        rows = [np.flatnonzero(owners == client) for client in dict.fromkeys(owners.tolist())]
        clients = tuple(
            CentroidMessage(
                client=int(owners[own[0]]),
                centroids=centroids[own],
                sizes=sizes[own],
                answer_tokens=tokens[own],
                halves=None if sketches is None else sketches[own],
            )
            for own in rows
        )
        if counted is not None and len(np.unique(tasks[counted > 0])) != int(tasks.max()) + 1:
            raise tensors.refused("a task has no local cluster that counts")
        of_router = None if counted is None else tuple(tuple(counted[own].tolist()) for own in rows)
        return cls(clients, tuple(tuple(tasks[own].tolist()) for own in rows), of_router)
