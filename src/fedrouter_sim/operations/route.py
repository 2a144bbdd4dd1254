"""`route`: texts to task adapters, a batch at a time, so that memory stays the same however long the input is."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from fedrouter_sim.adapters import Adapter
from fedrouter_sim.backbone import Backbone
from fedrouter_sim.errors import UserError
from fedrouter_sim.router import task_name
from fedrouter_sim.run_folder import Run

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


def route(run: Run, texts: Iterable[str], generate: bool, batch: int = BATCH) -> Iterator[Routed]:
    """Route texts in order; with `generate`, answer each by its adapter.

    Raises:
        UserError: the run has no router.
    """
    router = run.router
    if router is None:
        raise UserError(f"{run.folder}: method {run.summary['method']} has no router, so it has nothing to route by")
    backbone = open_backbone(run)
    pools = {pool.name: pool for pool in run.pools}
    adapters: dict[str, Adapter] = {}
    remaining = iter(texts)
    while chunk := list(islice(remaining, batch)):
        found = router.route(backbone.embed(chunk))
        tasks = [task_name(int(task)) for task in found.index]
        answers: list[str | None] = [None] * len(chunk)
        if generate:
            for task in sorted(set(tasks)):
                if task not in adapters:
                    adapters[task] = run.adapter(task)
                own = [i for i, name in enumerate(tasks) if name == task]
                given = backbone.generate(adapters[task], [chunk[i] for i in own], pools[task].answer_tokens)
                for i, answer in zip(own, given.answers, strict=True):
                    answers[i] = answer
        for i, text in enumerate(chunk):
            margin = float(found.margin[i]) if len(router.centroids) > 1 else None
            yield Routed(text, tasks[i], float(found.distance[i]), margin, answers[i])
