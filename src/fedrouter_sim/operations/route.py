"""`route`: texts to task adapters, a batch at a time, so that memory stays the same however long the input is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from threading import Lock

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.errors import UserError
from fedrouter_sim.routing.router import Router, task_name
from fedrouter_sim.runs.run_folder import Run, open_run

BATCH = 64  # texts routed, and answered, together


@dataclass(frozen=True)
class Routed:
    """One routed text."""

    text: str
    task: str  # name of the task adapter
    distance: float  # L2 to its centroid, in the normalised space
    margin: float | None  # distance to the second nearest minus distance; None with one task
    answer: str | None = None


def open_backbone(run: Run) -> Backbone:
    """Load the backbone of a run.

    Raises:
        UserError: it is not the one the run was trained on.
    """
    backbone = Backbone(run.config)
    if backbone.digest != run.manifest["backbone_sha256"]:
        raise UserError(
            f"--model {run.config.model}: has changed since {run.folder} was trained on it; train the run anew"
        )
    return backbone


class RoutedModel:
    """A run opened for use: one backbone, a router, and the task adapters, each read when it is first needed.

    Threads may share it: they take turns, a batch at a time, since there is one adapter slot.
    """

    def __init__(self, run: Run | Path | str, batch: int = BATCH) -> None:
        """Open a run; its backbone is loaded with the first text.

        Args:
            run: a run, or its folder.
            batch: most texts that are read ahead, routed and answered together.

        Raises:
            UserError: there is no such run, or its method has no router.
        """
        self.run = open_run(run)
        router = self.run.router
        if router is None:
            method = self.run.summary["method"]
            raise UserError(f"{self.run.folder}: method {method} has no router, so it has nothing to route by")
        self._router: Router = router
        self._batch = batch
        self._answer_tokens = {pool.name: pool.answer_tokens for pool in self.run.pools}
        self._adapters: dict[str, Adapter] = {}
        self._turn = Lock()

    def route(self, texts: Iterable[str]) -> Iterator[Routed]:
        """Route texts, in order, as they come.

        Raises:
            UserError: the backbone is not the one that the run was trained on.
            TypeError: `texts` is a single text.
        """
        return self._routed(_several(texts), answers=False)

    def answer(self, texts: Iterable[str]) -> Iterator[Routed]:
        """Route texts, in order, as they come, and answer each greedily by its task adapter.

        Raises:
            UserError: the backbone is not the one that the run was trained on, or an adapter is damaged.
            TypeError: `texts` is a single text.
        """
        return self._routed(_several(texts), answers=True)

    @cached_property
    def _backbone(self) -> Backbone:
        return open_backbone(self.run)

    def _routed(self, texts: Iterator[str], answers: bool) -> Iterator[Routed]:
        while chunk := list(islice(texts, self._batch)):
            with self._turn:
                done = self._route_batch(chunk, answers)
            yield from done

    def _route_batch(self, texts: list[str], answers: bool) -> list[Routed]:
        found = self._router.route(self._backbone.embed(texts))
        tasks = [task_name(int(task)) for task in found.index]
        given: list[str | None] = [None] * len(texts)
        for task in sorted(set(tasks)) if answers else ():
            if task not in self._adapters:
                self._adapters[task] = self.run.adapter(task)
            own = [i for i, name in enumerate(tasks) if name == task]
            generated = self._backbone.generate(
                self._adapters[task], [texts[i] for i in own], self._answer_tokens[task]
            )
            for i, answer in zip(own, generated.answers, strict=True):
                given[i] = answer
        margins = found.margin.tolist() if len(self._router.centroids) > 1 else [None] * len(texts)
        rows = zip(texts, tasks, found.distance.tolist(), margins, given, strict=True)
        return [Routed(*row) for row in rows]


def _several(texts: Iterable[str]) -> Iterator[str]:
    """Refuse a single text: its letters would be taken for texts."""
    if isinstance(texts, str):
        raise TypeError("give a list of texts, not one text")
    return iter(texts)
