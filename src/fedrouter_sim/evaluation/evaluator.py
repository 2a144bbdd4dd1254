"""The cells of the protocol: whose test samples, found by which routing, scored how."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.clustering.kmeans import Floats
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import answers_are_labels, exact_match, mean, rouge
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.examples.record import Example
from fedrouter_sim.methods import Asked, Choice, Deployment, Method

Key = TypeVar("Key")
Weights = tuple[tuple[str, float], ...]

BARE = "none"  # the routing that asks the bare backbone
ORACLE = "oracle"  # the routing by true label of a routed method

TestShares = Mapping[int, Sequence[Example]]
"""Client -> the test samples that it answers."""


@dataclass(frozen=True)
class Cell:
    """One cell: 'own', 'all', 'drift', 'held-out' or 'given' test data, answered under a routing."""

    test_data: str
    routing: str

    @property
    def name(self) -> str:
        """Name of the cell's files."""
        return f"{self.test_data}-{self.routing}"


@dataclass(frozen=True)
class Answer:
    """One answered test sample."""

    client: int
    task: str | None
    instruction: str
    reference: str
    pool: str | None  # the pool of the largest weight; None: the bare backbone
    answer: str
    rouge1: float
    rouge2: float
    rouge_l: float
    exact: bool | None  # None where the task's answers are not labels
    loss: float  # summed over the reference's tokens, nats
    tokens: int  # of the reference, EOS included
    margin: float | None = None  # of a router: distance to the second nearest centroid minus distance
    weights: Mapping[str, float] = field(default_factory=dict)  # pool -> weight in a mixed answer


@dataclass(frozen=True)
class Scores:
    """Means over answers: ROUGE F-measures and exact match in [0, 1], loss in nats a token."""

    samples: int
    rouge1: float
    rouge2: float
    rouge_l: float
    exact_match: float | None
    loss: float

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Scores":
        """Average over answers, of which there is at least one."""
        n = len(answers)
        return cls(
            samples=n,
            rouge1=sum(a.rouge1 for a in answers) / n,
            rouge2=sum(a.rouge2 for a in answers) / n,
            rouge_l=sum(a.rouge_l for a in answers) / n,
            exact_match=mean(float(a.exact) for a in answers if a.exact is not None),
            loss=sum(a.loss for a in answers) / sum(a.tokens for a in answers),
        )

    @classmethod
    def mean_of(cls, scores: Sequence["Scores"]) -> "Scores":
        """Average over clients, each counting the same; exact match over those that have one."""
        n = len(scores)
        return cls(
            samples=sum(s.samples for s in scores),
            rouge1=sum(s.rouge1 for s in scores) / n,
            rouge2=sum(s.rouge2 for s in scores) / n,
            rouge_l=sum(s.rouge_l for s in scores) / n,
            exact_match=mean(s.exact_match for s in scores if s.exact_match is not None),
            loss=sum(s.loss for s in scores) / n,
        )


@dataclass(frozen=True)
class CellResult:
    """The scores of one cell."""

    cell: Cell
    mean: Scores  # over clients
    worst_client: int  # by ROUGE-1
    per_client: Mapping[int, Scores]
    per_task: Mapping[str, Scores]  # over the clients that were asked about the task
    routing_accuracy: float | None  # share of samples, of trained tasks, whose adapter's majority task is theirs
    confusion: Mapping[str, Mapping[str, int]]  # task -> pool -> samples
    samples_sha256: str  # of who was asked what: only results with equal ones may be compared
    answers: Sequence[Answer]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the single answers as JSON-able values."""
        record = {key: value for key, value in asdict(self).items() if key != "answers"}
        return record | {"per_client": {str(client): s for client, s in record["per_client"].items()}}


class Evaluator:
    """Answers and scores the cells of one run. What was answered once is not answered again in another cell.

    Args:
        backbone: the run's backbone.
        method: the run's method.
        deployment: the run's pools, its router if it has one, and what else the method answers with.
        adapters: gives the adapter of a pool by name.
        truth: label counts of the pools; None for unlabelled data.
        longest_answer: most tokens of an answer of the bare backbone.
        on_answers: called with the number of samples done, as they are.
    """

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        deployment: Deployment,
        adapters: Callable[[str], Adapter],
        truth: Truth | None,
        longest_answer: int,
        on_answers: Callable[[int], None] = lambda count: None,
    ) -> None:
        self._backbone = backbone
        self._method = method
        self._deployment = deployment
        self._pools = {pool.name: pool for pool in deployment.pools}
        self._adapters = adapters
        self._truth = truth
        self._longest_answer = longest_answer
        self._on_answers = on_answers
        self._embeddings: dict[str, Floats] = {}
        self._answered: dict[tuple[Weights, Example], tuple[str, float, int]] = {}
        self.cut: set[str] = set()  # instructions that were cut to fit

    def cells(self, test_data: str) -> list[Cell]:
        """Return the method's cells on some test data."""
        return [Cell(test_data, routing) for routing in self._method.routings]

    def evaluate(self, cell: Cell, shares: TestShares) -> CellResult:
        """Answer and score every client's samples of a cell.

        Raises:
            UserError: there is no sample, or oracle routing has no labels to go by.
        """
        asked = [(client, example) for client, examples in shares.items() for example in examples]
        if not asked:
            raise UserError(f"there is no test sample in the cell '{cell.name}'; give more test rows or fewer clients")
        # With few test rows a client may have none: there is nothing to route then.
        choices = [choice for client, own in shares.items() if own for choice in self._choose(cell, client, own)]
        self._answer([(choice.weights, example) for choice, (_, example) in zip(choices, asked, strict=True)])
        references: dict[str | None, list[str]] = {}
        for _, example in asked:
            references.setdefault(example.task, []).append(example.response)
        labelled = {task for task, found in references.items() if answers_are_labels(found)}
        answers = [
            self._scored(client, example, choice, example.task in labelled)
            for (client, example), choice in zip(asked, choices, strict=True)
        ]
        return self._summarise(cell, answers)

    def _choose(self, cell: Cell, client: int, examples: Sequence[Example]) -> list[Choice]:
        if cell.routing == BARE:
            return [Choice()] * len(examples)
        if cell.routing == ORACLE:
            if self._truth is None or any(example.task is None for example in examples):
                raise UserError(
                    "--routing oracle needs task labels in training and test data; name them with --task-column"
                )
            return [Choice.of(self._truth.pool_for(example.task)) for example in examples]
        asked = Asked(client, examples, lambda: self._embed(examples))
        choices = self._method.answered_by(self._deployment, asked, cell.routing)
        if len(choices) != len(examples):
            raise UserError(
                f"method {self._method.name}: answered_by gave {len(choices)} choices for {len(examples)} samples; "
                "it has to give one for each"
            )
        for pool in {pool for choice in choices for pool, _ in choice.weights} - self._pools.keys():
            raise UserError(
                f"method {self._method.name}: answered_by chose the pool {pool!r}, and the plan has only "
                f"{', '.join(self._pools)}"
            )
        if not all(math.isfinite(weight) for choice in choices for _, weight in choice.weights):
            raise UserError(f"method {self._method.name}: answered_by gave a weight that is no finite number")
        return choices

    def _embed(self, examples: Sequence[Example]) -> Floats:
        new = list(dict.fromkeys(e.instruction for e in examples if e.instruction not in self._embeddings))
        self._embeddings.update(zip(new, self._backbone.embed(new), strict=True))
        return np.stack([self._embeddings[example.instruction] for example in examples])

    def _answer(self, wanted: Sequence[tuple[Weights, Example]]) -> None:
        """Answer and score what has not been, one adapter, or one set of mixed adapters, at a time."""
        by_pools: dict[tuple[str, ...], list[tuple[Weights, Example]]] = {}
        for weights, example in dict.fromkeys(wanted):
            if (weights, example) not in self._answered:
                by_pools.setdefault(tuple(pool for pool, _ in weights), []).append((weights, example))
        self._on_answers(len(wanted) - sum(map(len, by_pools.values())))
        for pools, pairs in by_pools.items():
            adapter = self._adapter_of(pools, [weights for weights, _ in pairs])
            examples = [example for _, example in pairs]
            tokens = max((self._pools[pool].answer_tokens for pool in pools), default=self._longest_answer)
            generated = self._backbone.generate(adapter, [e.instruction for e in examples], tokens)
            self.cut |= generated.cut
            encoded = self._backbone.encoder.examples(examples)
            self.cut |= {e.instruction for e, ids in zip(examples, encoded, strict=True) if ids.prompt.cut}
            scores = self._backbone.score(adapter, encoded)
            for pair, text, (loss, count) in zip(pairs, generated.answers, scores, strict=True):
                self._answered[pair] = (text, float(loss), int(count))
            self._on_answers(len(examples))

    def _adapter_of(self, pools: tuple[str, ...], weights: Sequence[Weights]) -> Adapter | Mixture | None:
        """Return what answers samples whose choices are over the same pools."""
        if not pools:
            return None
        rows = np.array([[weight for _, weight in of_sample] for of_sample in weights])
        if len(pools) == 1 and (rows == 1).all():
            return self._adapters(pools[0])
        return Mixture(tuple(self._adapters(pool) for pool in pools), rows)

    def _scored(self, client: int, example: Example, choice: Choice, labels: bool) -> Answer:
        text, loss, tokens = self._answered[choice.weights, example]
        scores = rouge(example.response, text)
        return Answer(
            client=client,
            task=example.task,
            instruction=example.instruction,
            reference=example.response,
            pool=choice.pool,
            answer=text,
            rouge1=scores.rouge1,
            rouge2=scores.rouge2,
            rouge_l=scores.rouge_l,
            exact=exact_match(example.response, text) if labels else None,
            loss=loss,
            tokens=tokens,
            margin=choice.margin,
            weights=dict(choice.weights) if len(choice.weights) > 1 else {},
        )

    def _summarise(self, cell: Cell, answers: Sequence[Answer]) -> CellResult:
        per_client = {client: Scores.of(own) for client, own in _grouped(answers, lambda a: a.client).items()}
        per_task = {
            task: Scores.mean_of([Scores.of(own) for own in _grouped(about, lambda a: a.client).values()])
            for task, about in sorted(_grouped(answers, lambda a: a.task).items(), key=lambda item: item[0] or "")
            if task is not None
        }
        confusion = {
            task: dict(sorted(Counter(a.pool or "backbone" for a in answers if a.task == task).items()))
            for task in per_task
        }
        return CellResult(
            cell=cell,
            mean=Scores.mean_of(list(per_client.values())),
            worst_client=min(per_client, key=lambda client: per_client[client].rouge1),
            per_client=per_client,
            per_task=per_task,
            routing_accuracy=self._routing_accuracy(cell, answers),
            confusion=confusion,
            samples_sha256=_digest((a.client, a.instruction, a.reference) for a in answers),
            answers=answers,
        )

    def _routing_accuracy(self, cell: Cell, answers: Sequence[Answer]) -> float | None:
        truth = self._truth
        routed = self._deployment.router is not None and cell.routing != BARE
        if not routed or truth is None or any(answer.task is None for answer in answers):
            return None
        # A task that no adapter was trained on has no right adapter.
        known = [answer for answer in answers if truth.pool_for(answer.task) is not None]
        return mean(float(a.pool is not None and truth.majority_task(a.pool) == a.task) for a in known)


def _digest(asked: Iterable[tuple[int, str, str]]) -> str:
    return hashlib.sha256(json.dumps(list(asked)).encode()).hexdigest()


def _grouped(answers: Sequence[Answer], key: Callable[[Answer], Key]) -> dict[Key, list[Answer]]:
    groups: dict[Key, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(key(answer), []).append(answer)
    return groups
