"""Tasks whose answers are labels: how they are found, the best constant answer, and who gives one answer to all."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.backbone.answering import Generated
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.labels import LabelTasks, labels_in, said_of_same_answers
from fedrouter_sim.evaluation.metrics import METRICS, find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered
from fedrouter_sim.evaluation.scores import Answer, Cell, CellResult, LabelTask, SameAnswer, Scores
from fedrouter_sim.examples.record import Example
from fedrouter_sim.operations.train import train
from fedrouter_sim.report.run_report import write_run_report
from fedrouter_sim.runs.reader import Run


@pytest.mark.parametrize(
    ("responses", "labels"),
    [
        (["Yes", "no ", "YES"] * 5, {"yes": 10, "no": 5}),
        (["yes", "no"] * 4, {}),  # too few of each
        (["yes"] * 20, {}),  # nothing to tell apart
        ([str(i % 20) for i in range(100)], {str(i): 5 for i in sorted(range(20), key=str)}),
        ([str(i % 22) for i in range(220)], {}),  # 20 of 22 cover less than 95%
        (["yes", "no"] * 10 + ["a text of its own"], {"no": 10, "yes": 10}),  # 20 of 21 rows are more than 95%
        (["yes", "no"] * 9 + ["a text of its own"], {}),  # 18 of 19 are not
        (["the answer is of many words", "no"] * 10, {}),
        (["字" * 51, "否"] * 10, {}),  # no spaces, and still long
        (["", "no"] * 10, {}),
        ([], {}),
    ],
)
def test_labels_are_few_short_responses_that_cover_nearly_all_rows(
    responses: list[str], labels: dict[str, int]
) -> None:
    assert labels_in(responses) == labels
    assert list(labels_in(responses)) == list(labels)  # the most common first, then by the alphabet


def rows(task: str | None, *responses: str) -> list[Example]:
    return [Example(f"what is {number}?", response, task) for number, response in enumerate(responses)]


TRAINED = LabelTasks.of([*rows("pairs", *["yes"] * 12, *["no"] * 8), *rows("titles", *"abcdefghijklmnopqrstuvwxyz")])


def test_training_rows_decide_and_references_only_of_tasks_without_any() -> None:
    assert TRAINED.trained == {"pairs": {"yes": 12, "no": 8}, "titles": {}}
    few, many = rows("pairs", "yes"), ["good", "bad"] * 5
    asked = [*few, *rows("titles", *many), *rows("held", *many), *rows("short", *many[:4])]
    assert TRAINED.labelled(asked) == {"pairs", "held"}
    assert LabelTasks().labelled(asked) == {"titles", "held"}


def test_data_without_tasks_are_one_task() -> None:
    found = LabelTasks.of(rows(None, *["yes", "no"] * 5))
    assert found.trained == {"": {"no": 5, "yes": 5}}
    assert found.labelled(rows(None, "yes")) == {None}


def answers(pool: str | None, pairs: str, task: str = "pairs", client: int = 0) -> list[Answer]:
    """Answers of an adapter: 'yn' is a yes that was answered by no."""
    words = {"y": "Yes", "n": "No", "x": "neither"}
    found = []
    for reference, answer in pairs.split():
        sample = Answered(words[reference], words[answer], labels=True, loss=1.0, tokens=1, task=task)
        scores = {name: find_metric(name).measure(sample) for name in METRICS.names}
        found.append(Answer(client, task, "what?", pool, sample, scores))
    return found


def test_the_best_constant_answer_is_scored_as_the_cells_own_answers() -> None:
    own = [*answers("a", "yy yn yy nn", client=0), *answers("a", "nn", client=1)]
    found = TRAINED.look(own)["pairs"]
    assert found.labels == 2 and found.best_constant is not None
    assert found.best_constant.answer == "no"  # over samples "yes" is right more often
    scores = found.best_constant.scores
    assert scores["exact_match"] == scores["rouge1"] == pytest.approx((1 / 4 + 1) / 2)  # over clients
    assert scores["balanced_accuracy"] == 0.5  # over all samples
    assert "loss" not in scores
    assert LabelTasks().look(own)["pairs"].best_constant is None  # no training rows of it are known
    free = [Answer(0, "titles", "what?", "a", Answered("a", "a", labels=False, loss=1.0, tokens=1), {})]
    assert TRAINED.look(free) == {}


@pytest.mark.parametrize(
    ("training", "pairs", "best"),
    [
        ("y" * 10 + "n" * 10, "yy " * 10 + "nn " * 4, "yes"),  # as many of each in training, and not here
        ("y" * 12 + "n" * 8, "yy ny ny nn", "no"),  # what most of these samples have counts
        ("y" * 12 + "n" * 8, "yy nn xx", "yes"),  # of equal ones what most training rows have,
        ("y" * 10 + "n" * 10, "yy nn", "no"),  # then the first by the alphabet
        ("y" * 12 + "n" * 8, "xx", "yes"),  # none is ever right
    ],
)
def test_the_best_constant_answer_is_the_label_that_is_right_most_often(training: str, pairs: str, best: str) -> None:
    words = {"y": "Yes", "n": "No"}
    found = LabelTasks.of(rows("pairs", *(words[letter] for letter in training))).look(answers("a", pairs))["pairs"]
    assert found.best_constant is not None and found.best_constant.answer == best


def test_the_best_constant_answer_counts_where_case_folds_to_other_letters() -> None:
    trained = LabelTasks.of(rows("size", *["Groß"] * 6, *["klein"] * 5))
    sample = Answered("Groß", "klein", labels=True, loss=1.0, tokens=1, task="size")
    found = trained.look([Answer(0, "size", "what?", "a", sample, {})])["size"].best_constant
    assert found is not None and found.answer == "gross"
    assert found.scores["exact_match"] == found.scores["rouge1"] == 1


@pytest.mark.parametrize(
    ("pairs", "flagged"),
    [
        ("yy yy yy yy ny", SameAnswer("a", "yes", 5, 5)),
        ("yy yy yy yy nn", None),
        ("yy yy yy ny", None),  # too few
        ("yy yy yy yy yy", None),  # all are yes
        ("yy " * 6 + "ny " * 7 + "nn", SameAnswer("a", "yes", 13, 14)),  # nearly all
        ("yy " * 13 + "nn", None),  # nearly all, and rightly so
        ("yy " * 13 + "ny", SameAnswer("a", "yes", 14, 14)),
        ("yy " * 6 + "ny " * 6 + "nn nn", None),  # 12 of 14 are not nearly all
    ],
)
def test_an_adapter_that_always_answers_the_same_is_flagged(pairs: str, flagged: SameAnswer | None) -> None:
    found = TRAINED.look(answers("a", pairs))["pairs"].always
    assert found == ([flagged] if flagged else [])


def test_adapters_are_looked_at_one_by_one_and_the_bare_backbone_is_none() -> None:
    both = [*answers("b", "yy yy ny ny ny"), *answers("a", "nn nn nn yn yn", client=1), *answers(None, "ny yy " * 4)]
    assert TRAINED.look(both)["pairs"].always == [SameAnswer("a", "no", 5, 5), SameAnswer("b", "yes", 5, 5)]


def cell(test_data: str, label_tasks: dict[str, LabelTask]) -> CellResult:
    return CellResult(Cell(test_data, "fixed"), Scores(1, {}), 0, {}, {}, None, {}, "", (), label_tasks=label_tasks)


def test_adapters_that_always_answer_the_same_are_said_once_for_all_cells() -> None:
    same = LabelTask(2, None, [SameAnswer(f"client_{n}", "no", 9, 9) for n in range(5)])
    one = LabelTask(2, None, [SameAnswer("global", "no", 9, 9)])
    assert said_of_same_answers([]) == []
    said = said_of_same_answers([cell("own", {"": same}), cell("all", {"": same, "mood": one, "sum": LabelTask(2)})])
    assert said == [
        "always the same answer to all rows, by client_0, client_1, client_2 and 2 more (own-fixed, all-fixed): read "
        "its balanced accuracy and its loss",
        "always the same answer to mood, by global (all-fixed): read its balanced accuracy and its loss",
    ]


def test_a_run_judges_by_its_training_rows_and_says_who_always_answers_the_same(
    micro_config: Callable[..., RunConfig], backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def yes(adapter: Any, asked: Sequence[Any], *given: Any) -> Generated:
        return Generated(["yes"] * len(asked), set())

    monkeypatch.setattr(backbone, "generate", yes)
    config = micro_config(method="fedavg", rounds=1, local_steps=1, test_examples_per_client=6)
    done = train(config, tmp_path / "run", backbone=backbone)
    found = done.summary.label_tasks["all-fixed"]
    assert list(found) == ["opinion"] and found["opinion"].best_constant is not None
    trained = LabelTasks.load(done.folder / "labels.json").trained["opinion"]
    assert next(iter(trained)) == "yes" and found["opinion"].best_constant.answer == "no"  # more of these samples
    [same] = found["opinion"].always
    assert (same.pool, same.answer) == ("global", "yes") and same.given == same.samples >= 5
    note = "always the same answer to opinion, by global (all-fixed"
    assert sum(text.startswith(note) for text in Run(done.folder).manifest["notes"]) == 1
    page = write_run_report(Run(done.folder)).read_text(encoding="utf-8")
    assert note in page and f"to {same.given} of {same.samples} samples" in page


def test_labels_are_read_back_and_what_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    assert LabelTasks.load(path) == LabelTasks()  # a run from before they were written down
    TRAINED.save(path)
    again = LabelTasks.load(path)
    assert again == TRAINED and list(again.trained["pairs"]) == ["yes", "no"]
    too_many = '{"tasks": {"t": {' + ", ".join(f'"{n}": 5' for n in range(21)) + "}}}"
    for text in ('{"tasks": {"t": {"yes": -1}}}', "{}", too_many):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"labels.json: damaged \(.*\); train the run anew"):
            LabelTasks.load(path)
