"""An evaluator whose backbone is a stand-in, which says which adapter was asked."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from fedrouter_sim.answerer import Answerer
from fedrouter_sim.backbone.model import Generated
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Metric
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.plan import Deployment, Pool
from fedrouter_sim.messages import CentroidMessage
from fedrouter_sim.methods import find_method
from fedrouter_sim.methods.method import Method
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import Router

POOLS = (Pool("task_0", 5), Pool("task_1", 7))
TRUTH = Truth({"task_0": {"sum": 9, "title": 1}, "task_1": {"title": 4, "sum": 3}}, {0: [{"sum": 1}]})
LOSS, TOKENS = 6.0, 3  # of every answer of the stand-in


@dataclass
class StandIn:
    """Answers 'right' by task_0 and 'wrong' otherwise; embeds a text at its number of words."""

    asked: list[tuple[str | None, list[str], int]] = field(default_factory=list)
    scored: int = 0

    @property
    def encoder(self) -> Any:
        prompt = SimpleNamespace(prompt=SimpleNamespace(cut=False), response=(1,) * TOKENS)
        return SimpleNamespace(eos=0, examples=lambda examples: [prompt] * len(examples))

    def generate(self, adapter: Any, instructions: Sequence[str], max_new_tokens: int, scores: Any = None) -> Generated:
        name = None if adapter is None else "task_0" if adapter["pool"].item() == 0 else "task_1"
        self.asked.append((name, list(instructions), max_new_tokens))
        return Generated(["right" if name == "task_0" else "wrong"] * len(instructions), set())

    def score(self, adapter: Any, examples: Sequence[Any]) -> np.ndarray:
        self.scored += len(examples)
        return np.tile([LOSS, TOKENS], (len(examples), 1))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[len(text.split())] for text in texts], dtype=np.float32).reshape(len(texts), 1)


ROUTER = Router(np.array([[1], [10]], dtype=np.float32), Normalizer("none"), max_tokens=8, backbone_digest="")
ARCHIVE = Archive(
    clients=tuple(
        CentroidMessage(c, np.array([[1.0]], dtype=np.float32), np.array([1]), np.array([1])) for c in range(3)
    ),
    assignment=((0,), (1,), (0,)),
)
ADAPTERS = {"task_0": {"pool": torch.tensor(0)}, "task_1": {"pool": torch.tensor(1)}}
SHORT, LONG = "one", "one two three four five six seven eight nine ten"  # the router's task_0 and task_1


def answerer(backbone: StandIn, method: Method, deployment: Deployment) -> Answerer:
    adapters = ADAPTERS | {"global": ADAPTERS["task_0"]}
    return Answerer(backbone, method, deployment, adapters.__getitem__, 9)  # type: ignore[arg-type]


def evaluator(
    backbone: StandIn,
    method: str = "fedrouter",
    truth: Truth | None = TRUTH,
    metric: Metric = find_metric("rouge1"),  # noqa: B008  # holds nothing
    **options: Any,
) -> Evaluator:
    routed = Deployment(POOLS, ROUTER, ARCHIVE)
    deployment = routed if method == "fedrouter" else Deployment((Pool("global", 5),))
    return Evaluator(answerer(backbone, find_method(method), deployment), truth, metric, **options)


def sample(number: int, words: str = SHORT, task: str | None = "sum", response: str = "right") -> Example:
    return Example(f"{words[:-1]}{number}" if words == SHORT else f"{words} {number}", response, task)
