"""The router: task centroids and the recipe that embeds a text; text -> task adapter, distance, margin."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fedrouter_sim.clustering.kmeans import Floats, Ints, Nearest, Normalizer, nearest
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.storage import write_json

FORMAT = 1
TENSORS_NAME = "router.safetensors"
RECIPE_NAME = "router.json"


def task_name(task: int) -> str:
    """Return the pool name of a task adapter."""
    return f"task_{task}"


@dataclass(frozen=True)
class Router:
    """Routes an embedding to the nearest task centroid, in the normalised space.

    It also keeps every client's local centroids and the task each was assigned to: `local` routing needs them, and
    the server can cluster them again without any client.
    """

    centroids: Floats  # (T, d), normalised
    normalizer: Normalizer
    clients: tuple[CentroidMessage, ...]  # in client order
    assignment: tuple[tuple[int, ...], ...]  # task of each local cluster of each client
    max_tokens: int  # embedded texts are cut at this many tokens
    backbone_digest: str

    def route(self, embeddings: Floats, tasks: Sequence[int] | None = None) -> Nearest:
        """Route raw embeddings (n, d); `index` of the result is the task.

        Args:
            embeddings: as `Backbone.embed` returns them.
            tasks: the candidates; None for all of them (`global` routing).
        """
        candidates = np.arange(len(self.centroids)) if tasks is None else np.asarray(sorted(tasks))
        found = nearest(self.normalizer(embeddings), self.centroids[candidates])
        return Nearest(candidates[found.index], found.distance, found.margin)

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

    def answer_tokens_of(self, client: int, clusters: Sequence[int]) -> Ints:
        """Return the longest training response in tokens, (k,), of some local clusters of a client."""
        return self.clients[self._place[client]].answer_tokens[list(clusters)]

    def answer_tokens(self) -> list[int]:
        """Return each task's longest training response in tokens."""
        longest = [1] * len(self.centroids)
        for message, tasks in zip(self.clients, self.assignment, strict=True):
            for tokens, task in zip(message.answer_tokens, tasks, strict=True):
                longest[task] = max(longest[task], int(tokens))
        return longest

    def save(self, folder: Path) -> None:
        """Write router.safetensors and router.json; same router, same bytes."""
        counts = [len(message.sizes) for message in self.clients]
        tensors: dict[str, NDArray[Any]] = {
            "task_centroids": self.centroids,
            "client_centroids": np.concatenate([message.centroids for message in self.clients]),
            "client_cluster_sizes": np.concatenate([message.sizes for message in self.clients]),
            "client_answer_tokens": np.concatenate([message.answer_tokens for message in self.clients]),
            "client_ids": np.repeat([message.client for message in self.clients], counts).astype(np.int64),
            "assignment": np.concatenate([np.asarray(tasks, dtype=np.int64) for tasks in self.assignment]),
        }
        if self.normalizer.mean is not None and self.normalizer.deviation is not None:
            tensors |= {"feature_mean": self.normalizer.mean, "feature_deviation": self.normalizer.deviation}
        (folder / TENSORS_NAME).write_bytes(save({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}))
        recipe = {
            "format": FORMAT,
            "tasks": [task_name(task) for task in range(len(self.centroids))],
            "embedding": "mean over the bare instruction's tokens of the last hidden state, after the final norm",
            "max_tokens": self.max_tokens,
            "normalize": self.normalizer.kind,
            "distance": "L2",
            "backbone_sha256": self.backbone_digest,
        }
        write_json(folder / RECIPE_NAME, recipe)

    @classmethod
    def load(cls, folder: Path) -> "Router":
        """Read a router back.

        Raises:
            UserError: the files are missing, damaged, or of another format.
        """
        try:
            recipe = json.loads((folder / RECIPE_NAME).read_text(encoding="utf-8"))
            if recipe["format"] != FORMAT:
                raise UserError(
                    f"{folder / RECIPE_NAME}: format {recipe['format']} is not {FORMAT}; use a newer fedrouter-sim"
                )
            tensors = load_file(folder / TENSORS_NAME)
            owners = tensors["client_ids"]
            rows = [np.flatnonzero(owners == client) for client in dict.fromkeys(owners.tolist())]
            return cls(
                centroids=tensors["task_centroids"],
                normalizer=Normalizer(
                    recipe["normalize"], tensors.get("feature_mean"), tensors.get("feature_deviation")
                ),
                clients=tuple(
                    CentroidMessage(
                        client=int(owners[r[0]]),
                        centroids=tensors["client_centroids"][r],
                        sizes=tensors["client_cluster_sizes"][r],
                        answer_tokens=tensors["client_answer_tokens"][r],
                    )
                    for r in rows
                ),
                assignment=tuple(tuple(tensors["assignment"][r].tolist()) for r in rows),
                max_tokens=recipe["max_tokens"],
                backbone_digest=recipe["backbone_sha256"],
            )
        except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
            raise UserError(
                f"{folder}: its router is missing or damaged ({error!r}); train or aggregate it anew"
            ) from None
