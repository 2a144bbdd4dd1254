"""The table of metrics, the user's own, and what all metrics have in common."""

from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import DEFAULT_METRIC, METRICS, all_metrics, find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric

NAMES = ["rouge1", "rouge2", "rouge_l", "exact_match", "balanced_accuracy", "macro_f1", "loss"]
SAMPLE = Answered("one two three", "one two", labels=False, loss=6.0, tokens=3)

OWN = '''"""Metrics of one's own."""

from fedrouter_sim.evaluation.metrics.metric import Answered, Metric


class Within(Metric):
    """Whether the lengths in words differ by no more than so many."""

    name = "within"
    title = "length within"

    def __init__(self, words: int = 0) -> None:
        self.words = words

    def measure(self, sample: Answered) -> float | None:
        return float(abs(len(sample.reference.split()) - len(sample.answer.split())) <= self.words)


class Nameless(Within):
    name = ""


class Abstract(Metric):
    name = "abstract"


class NoMetric:
    name = "none"
'''


@pytest.fixture
def own_file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    return path


class Share(Metric):
    """The length of the answer: something to average."""

    name = "share"
    title = "share"

    def measure(self, sample: Answered) -> float | None:
        return float(len(sample.answer))


def test_the_table_has_every_metric_by_its_name_in_the_order_of_files() -> None:
    assert list(METRICS.names) == NAMES
    assert [find_metric(name).name for name in NAMES] == NAMES
    assert [name for name in NAMES if not find_metric(name).higher_is_better] == ["loss"]
    titles = [find_metric(name).title for name in NAMES]
    assert titles == ["ROUGE-1", "ROUGE-2", "ROUGE-L", "exact match", "balanced accuracy", "macro-F1", "loss"]
    assert DEFAULT_METRIC == "rouge1"


def test_every_metric_measures_an_answer() -> None:
    found = {metric.name: metric.measure(SAMPLE) for metric in all_metrics(find_metric("loss"))}
    labels = dict.fromkeys(("exact_match", "balanced_accuracy", "macro_f1"))
    assert found == pytest.approx({"rouge1": 0.8, "rouge2": 2 / 3, "rouge_l": 0.8, **labels, "loss": 2.0})


def test_all_metrics_are_the_shipped_ones_and_the_users_own() -> None:
    for name in NAMES:
        assert [metric.name for metric in all_metrics(find_metric(name))] == NAMES
    own = Share()
    found = all_metrics(own)
    assert [metric.name for metric in found] == [*NAMES, "share"]
    assert found[-1] is own  # with its options


def test_an_own_metric_is_found_by_file_and_class_and_takes_options(own_file: Path) -> None:
    name = f"{own_file}:Within"
    assert (find_metric(name).name, find_metric(name).title) == ("within", "length within")
    assert find_metric(name).measure(SAMPLE) == 0.0
    assert find_metric(name, {"words": "1", "other": "x"}).measure(SAMPLE) == 1.0
    found: Any = find_metric(name, {"words": "7"})
    assert found.words == 7
    with pytest.raises(UserError, match=r"^--option words=many: must be of type int$"):
        find_metric(name, {"words": "many"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bleu", f"choose one of {', '.join(NAMES)}, or give your own as FILE.py:CLASS"),
        ("{file}:Absent", "no class Absent that is a fedrouter_sim.evaluation.metrics.metric.Metric"),
        ("{file}:NoMetric", "no class NoMetric that is a fedrouter_sim.evaluation.metrics.metric.Metric"),
        ("{file}:Nameless", "Nameless has no name of its own"),
        ("{file}:Abstract", "Abstract does not define measure, which every metric has to"),
        ("absent.py:Within", "absent.py is no Python file"),
    ],
)
def test_what_is_no_metric_is_refused_in_one_line(own_file: Path, name: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        find_metric(name.format(file=own_file))
    message = str(caught.value)
    assert message.startswith(f"--metric {name.format(file=own_file)}: ")
    assert words in message
    assert "\n" not in message


def test_the_mean_is_over_the_answers_that_have_a_value() -> None:
    samples = [SAMPLE] * 4
    assert Share().mean(samples, [1.0, None, 0.0, 0.5]) == 0.5
    assert Share().mean(samples[:2], [None, None]) is None
    assert Share().mean([], []) is None


def test_the_worst_and_the_best_follow_what_is_better() -> None:
    class Less(Share):
        higher_is_better = False

    values = [0.5, 0.25, 1.0]
    assert (Share().worst(values), Share().best(values)) == (0.25, 1.0)
    assert (Less().worst(values), Less().best(values)) == (1.0, 0.25)
