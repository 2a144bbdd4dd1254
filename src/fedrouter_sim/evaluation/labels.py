"""Tasks whose answers are labels: which they are, what the best constant answer scores there, and who only gives one.

For measuring only. No method reads it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import METRICS, find_metric
from fedrouter_sim.evaluation.metrics.exact_match import as_label
from fedrouter_sim.evaluation.metrics.metric import Answered
from fedrouter_sim.evaluation.scores import Answer, BestConstant, CellResult, LabelTask, SameAnswer, Scores, grouped
from fedrouter_sim.examples.record import Example
from fedrouter_sim.storage import read_json, write_json
from fedrouter_sim.typed import Count, Misfit, taken

_MOST = 20  # labels of a task: beyond that a few hundred test samples say little of each
_LEAST_ROWS = 5  # of a label: what comes up less often is a text that happens to come up again
_COVERED = 0.95  # of a task's rows: a few that are cut or misspelled make no other task of it
_WORDS, _CHARACTERS = 5, 50  # of a label at most; characters for scripts without spaces

_LEAST_SAMPLES = 5  # from which on the same answer to all says something
_NEARLY_ALL = 0.9  # of the samples with the same answer count as all,
_BEYOND = 0.1  # if it is by so much more than what the most common reference has of them
_NAMED = 3  # adapters in a sentence

Labels = Mapping[str, Count]
"""Label -> how many rows have it."""


def labels_in(responses: Iterable[str]) -> dict[str, int]:
    """Return the labels of a task and how many rows have each, the most common first; none where answers are no such.

    They are labels if 2 to 20 short responses (at most 5 words and 50 characters), each given at least 5 times, cover
    at least 95% of the rows. Case and surrounding space play no part.
    """
    counts = Counter(map(as_label, responses))
    common = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
    found = {text: count for text, count in common if count >= _LEAST_ROWS and _is_short(text)}
    covered = sum(found.values()) >= _COVERED * sum(counts.values())
    return found if len(found) > 1 and covered else {}


def _is_short(text: str) -> bool:
    return 0 < len(text) <= _CHARACTERS and len(text.split()) <= _WORDS


@dataclass(frozen=True)
class LabelTasks:
    """The labels of every task of the data, from its training rows, whoever holds them; of a task without labels, none.

    Rows without a task are one task, named ''. What has no training rows here (held-out tasks, other data, runs from
    before this was written down) is judged by its test references in the same way, and has no best constant answer.
    """

    trained: Mapping[str, Labels] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Example]) -> "LabelTasks":
        """Find the tasks of training rows whose answers are labels."""
        responses: dict[str, list[str]] = {}
        for row in rows:
            responses.setdefault(row.task or "", []).append(row.response)
        return cls({task: labels_in(found) for task, found in sorted(responses.items())})

    def labelled(self, asked: Iterable[Example]) -> set[str | None]:
        """Return the tasks of test samples whose answers are labels."""
        references: dict[str | None, list[str]] = {}
        for example in asked:
            references.setdefault(example.task, []).append(example.response)
        return {
            task
            for task, found in references.items()
            if (self.trained[task or ""] if (task or "") in self.trained else labels_in(found))
        }

    def look(self, answers: Sequence[Answer]) -> dict[str, LabelTask]:
        """Describe the tasks with labels of a cell by all of its answers."""
        of_task = grouped([answer for answer in answers if answer.sample.labels], lambda answer: answer.task or "")
        return {task: self._look_at(task, own) for task, own in sorted(of_task.items())}

    def _look_at(self, task: str, answers: Sequence[Answer]) -> LabelTask:
        labels = self.trained.get(task) or Counter(as_label(answer.sample.reference) for answer in answers)
        by_pool = grouped(answers, lambda answer: answer.pool)
        found = [_same(pool, own) for pool, own in by_pool.items() if pool is not None]
        constant = _constant(_best(labels, answers), answers) if self.trained.get(task) else None
        return LabelTask(len(labels), constant, sorted(filter(None, found), key=lambda same: same.pool))

    def save(self, path: Path) -> None:
        """Write the labels as JSON."""
        write_json(path, {"tasks": self.trained})

    @classmethod
    def load(cls, path: Path) -> "LabelTasks":
        """Read the labels back; nothing is known of a run from before they were written down.

        Raises:
            UserError: the file is damaged.
        """
        if not path.exists():
            return cls()
        remedy = "train the run anew"
        try:
            tasks: Mapping[str, Labels] = taken(read_json(path, remedy), "tasks", Mapping[str, Labels])
            if any(len(labels) > _MOST for labels in tasks.values()):
                raise Misfit("a task has more labels than there may be")
            # Their order is not JSON's to keep.
            return cls(
                {task: dict(sorted(own.items(), key=lambda item: (-item[1], item[0]))) for task, own in tasks.items()}
            )
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); {remedy}") from None


def said_of_same_answers(results: Sequence[CellResult]) -> list[str]:
    """Say in a sentence for each task whose adapters always answer it the same, and in which cells."""
    found: dict[tuple[str, str], list[str]] = {}  # task and adapters -> cells
    for result in results:
        for task, seen in result.label_tasks.items():
            if pools := [same.pool for same in seen.always]:
                more = f" and {len(pools) - _NAMED} more" if len(pools) > _NAMED else ""
                found.setdefault((task or "all rows", ", ".join(pools[:_NAMED]) + more), []).append(result.cell.name)
    return [
        f"always the same answer to {task}, by {pools} ({', '.join(cells)}): read its balanced accuracy and its loss"
        for (task, pools), cells in found.items()
    ]


def _best(labels: Labels, answers: Sequence[Answer]) -> str:
    """Return the label that is right most often, on average over clients; of equal ones the first."""
    shares = []
    for own in grouped(answers, lambda answer: answer.client).values():
        wanted = Counter(as_label(answer.sample.reference) for answer in own)
        shares.append({label: wanted[label] / len(own) for label in labels})
    return max(labels, key=lambda label: sum(own[label] for own in shares))


def _constant(label: str, answers: Sequence[Answer]) -> BestConstant:
    """Score a label as the answer to all samples of a task, as the cell's own answers are scored."""
    metrics = [metric for metric in map(find_metric, METRICS.names) if metric.name != "loss"]
    given = []
    for answer in answers:
        reference = as_label(answer.sample.reference)  # the label is folded as well, which ROUGE does not do
        sample = Answered(reference, label, labels=True, loss=0.0, tokens=1, task=answer.task)
        scores = {metric.name: metric.measure(sample) for metric in metrics}
        given.append(Answer(answer.client, answer.task, answer.instruction, None, sample, scores))
    return BestConstant(label, dict(Scores.over_clients(given, metrics).values))


def _same(pool: str, answers: Sequence[Answer]) -> SameAnswer | None:
    """Say whether an adapter gives the same answer to (nearly) all samples of a task; None if not, or with too few."""
    given = Counter(as_label(answer.sample.answer) for answer in answers)
    wanted = Counter(as_label(answer.sample.reference) for answer in answers)
    (text, count), samples = given.most_common(1)[0], len(answers)
    expected = wanted.most_common(1)[0][1]
    nearly = count >= _NEARLY_ALL * samples and count - expected >= _BEYOND * samples
    if samples < _LEAST_SAMPLES or len(wanted) < 2 or not (count == samples or nearly):
        return None
    return SameAnswer(pool, text, count, samples)
