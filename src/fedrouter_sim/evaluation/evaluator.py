"""The cells of the protocol: whose test samples, found by which routing, scored how."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import islice

import numpy as np

from fedrouter_sim.adapters.together import Together
from fedrouter_sim.answerer import Answerer
from fedrouter_sim.arrays import Floats
from fedrouter_sim.backbone.asking import Embeds
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.agreement import mean
from fedrouter_sim.evaluation.cells import cells_of_run
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.evaluation.metrics import all_metrics, measured
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.evaluation.reliability import calibration_error
from fedrouter_sim.evaluation.scores import Answer, Cell, CellResult, Scores, grouped
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.plan import Choice, Weights
from fedrouter_sim.partition.run_data import TestShares
from fedrouter_sim.routing import BARE, ORACLE

_Asked = tuple[Weights, Together | None, Example]  # all that an answer depends on


class _EmbeddedOnce:
    """Embeds each text once. Methods get hold of it as they are asked, so it knows texts and nothing of their rows."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._known: dict[str, Floats] = {}
        self.asked = False  # whether anybody has wanted embeddings
        self.ready: dict[tuple[str, ...], Floats] = {}  # lists that others have embedded
        # In its last bits an embedding depends on the texts beside it, so only the very same list will do.

    def __call__(self, instructions: Sequence[str]) -> Floats:
        """Return the embeddings (n, d) of texts."""
        self.asked = True
        new = _new(instructions, self._known)
        found = self.ready.pop(tuple(new), None)
        self._known.update(zip(new, self._backbone.embed(new) if found is None else found, strict=True))
        return np.stack([self._known[text] for text in instructions])

    def lists(self, coming: Iterable[Sequence[str]]) -> list[tuple[str, ...]]:
        """Return what will be embedded, together in a list each, if the embeddings of all these are asked for."""
        known, found = set(self._known), []
        for instructions in coming:
            if new := _new(instructions, known):
                found.append(tuple(new))
                known.update(new)
        return found


def _new(instructions: Sequence[str], known: Container[str]) -> list[str]:
    return list(dict.fromkeys(text for text in instructions if text not in known))


class Evaluator:
    """Answers and scores the cells of one run. What was answered once is not answered again in another cell.

    Args:
        answerer: answers as the run's method says.
        truth: label counts of the pools; None for unlabelled data.
        metric: the metric that is shown first; all shipped ones are measured as well.
        on_answers: called with the number of samples done, as they are.
        labels: the labels of the tasks that were trained; None: nothing is known of them.
        embeds: who embeds the samples; None for this process.
    """

    def __init__(
        self,
        answerer: Answerer,
        truth: Truth | None,
        metric: Metric,
        on_answers: Callable[[int], None] = lambda count: None,
        labels: LabelTasks | None = None,
        embeds: Embeds | None = None,
    ) -> None:
        self._answerer = answerer
        self._truth = truth
        self._metric = metric
        self._metrics = all_metrics(metric)
        self._on_answers = on_answers
        self._labels = labels or LabelTasks()
        self._embed = _EmbeddedOnce(answerer.backbone)
        self._embeds = embeds
        self._answered: dict[_Asked, tuple[str, float, int]] = {}
        self.cut: set[str] = set()  # instructions that were cut to fit

    def cells(self, test_data: str) -> list[Cell]:
        """Return the method's cells on some test data."""
        return [Cell(test_data, routing) for routing in self._answerer.method.routings]

    def cells_of_run(self, shares: Mapping[str, TestShares]) -> list[Cell]:
        """Return all cells of the run."""
        by_label = self._answerer.deployment.router is not None and self._truth is not None
        return cells_of_run(self._answerer.method.routings, shares, by_label)

    def evaluate(self, cell: Cell, shares: TestShares) -> CellResult:
        """Answer and score every client's samples of a cell.

        Raises:
            UserError: there is no sample, or oracle routing has no labels to go by.
        """
        asked = [(client, example) for client, examples in shares.items() for example in examples]
        if not asked:
            raise UserError(f"there is no test sample in the cell '{cell.name}'; give more test rows or fewer clients")
        choices = self._choices(cell, shares)
        self._answer([_asked(choice, example) for choice, (_, example) in zip(choices, asked, strict=True)])
        labelled = self._labels.labelled(example for _, example in asked)
        answers = [
            self._scored(client, example, choice, example.task in labelled)
            for (client, example), choice in zip(asked, choices, strict=True)
        ]
        return self._summarise(cell, answers)

    def _choices(self, cell: Cell, shares: TestShares) -> list[Choice]:
        """Say who answers each sample. Once the method has asked for embeddings, others make those to come, if any."""
        choices: list[Choice] = []
        embeds, self._embed.asked = self._embeds, False
        for place, (client, own) in enumerate(shares.items(), 1):
            choices += self._choose(cell, client, own)
            if embeds and self._embed.asked:
                coming = islice(shares.values(), place, None)
                lists = self._embed.lists([example.instruction for example in others] for others in coming)
                self._embed.ready = dict(zip(lists, embeds(lists), strict=True))
                embeds = None
        self._embed.ready = {}
        return choices

    def _choose(self, cell: Cell, client: int, examples: Sequence[Example]) -> list[Choice]:
        if cell.routing != ORACLE:
            return self._answerer.choose(examples, client, cell.routing, self._embed)
        if self._truth is None or any(example.task is None for example in examples):
            raise UserError(
                "--routing oracle needs task labels in training and test data; name them with --task-column"
            )
        return [Choice.of(self._truth.pool_for(example.task)) for example in examples]

    def _answer(self, wanted: Sequence[_Asked]) -> None:
        """Answer and score what has not been."""
        new = [one for one in dict.fromkeys(wanted) if one not in self._answered]
        self._on_answers(len(wanted) - len(new))
        examples = [example for *_, example in new]
        weights, kinds = [weights for weights, *_ in new], [kind for _, kind, _ in new]
        for batch in self._answerer.answer(weights, examples, kinds, scored=True):
            self.cut |= batch.replies.cut
            assert batch.replies.scores is not None
            rows = zip(batch.positions, batch.generated.answers, batch.replies.scores, strict=True)
            for position, text, (loss, count) in rows:
                self._answered[new[position]] = (text, float(loss), int(count))
            self._on_answers(len(batch.positions))

    def _scored(self, client: int, example: Example, choice: Choice, labels: bool) -> Answer:
        text, loss, tokens = self._answered[_asked(choice, example)]
        sample = Answered(example.response, text, labels, loss, tokens, example.task)
        return Answer(
            client=client,
            task=example.task,
            instruction=example.instruction,
            pool=choice.pool,
            sample=sample,
            scores={metric.name: measured(metric, sample) for metric in self._metrics},
            margin=choice.margin,
            weights=choice.mixed,
            unseen=choice.unseen,
            confidence=choice.confidence,
        )

    def _summarise(self, cell: Cell, answers: Sequence[Answer]) -> CellResult:
        per_client = {c: Scores.of(own, self._metrics) for c, own in grouped(answers, lambda a: a.client).items()}
        per_task = {
            task: Scores.over_clients(about, self._metrics)
            for task, about in sorted(grouped(answers, lambda a: a.task).items(), key=lambda item: item[0] or "")
            if task is not None
        }
        confusion = {
            task: dict(sorted(Counter(a.pool or "backbone" for a in answers if a.task == task).items()))
            for task in per_task
        }
        routed = self._routed(cell, answers)
        right = [right for _, right in routed]
        # Confidence is that of an adapter; a text that is left to the backbone has none.
        sure = [(answer.confidence, right) for answer, right in routed if answer.pool is not None]
        return CellResult(
            cell=cell,
            mean=Scores.over_clients(answers, self._metrics),
            worst_client=self._worst(per_client),
            per_client=per_client,
            per_task=per_task,
            routing_accuracy=mean(map(float, right)),
            confusion=confusion,
            samples_sha256=_digest((a.client, a.instruction, a.sample.reference) for a in answers),
            answers=answers,
            label_tasks=self._labels.look(answers),
            routing_ece=calibration_error([said for said, _ in sure], [right for _, right in sure]),
        )

    def _worst(self, per_client: dict[int, Scores]) -> int:
        """Return the client with the worst score, the first of equal ones; of those that have one, if any does."""
        scored = {c: value for c, s in per_client.items() if (value := s[self._metric.name]) is not None}
        if not scored:
            return min(per_client)
        worst = self._metric.worst(list(scored.values()))
        return next(client for client, value in scored.items() if value == worst)

    def _routed(self, cell: Cell, answers: Sequence[Answer]) -> list[tuple[Answer, bool]]:
        """Return the answers to samples of trained tasks, and whether the adapter's majority task was theirs; none
        where nothing was routed, or tasks are unknown."""
        truth = self._truth
        routed = self._answerer.deployment.router is not None and cell.routing != BARE
        if not routed or truth is None or any(answer.task is None for answer in answers):
            return []
        # A task that no adapter was trained on has no right adapter.
        known = [answer for answer in answers if truth.pool_for(answer.task) is not None]
        return [(a, a.pool is not None and truth.majority_task(a.pool) == a.task) for a in known]


def _asked(choice: Choice, example: Example) -> _Asked:
    return choice.weights, choice.together, example


def _digest(asked: Iterable[tuple[int, str, str]]) -> str:
    return hashlib.sha256(json.dumps(list(asked)).encode()).hexdigest()
