"""The bootstrap over test samples: against textbook formulas, paired, and the same draws again; and power."""

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.studies.resampling import DRAWS, interval, power, resampled, values_of

ROUGE, LOSS = find_metric("rouge1"), find_metric("loss")


def answers(*clients: list[float | None], name: str = "rouge1", tokens: int = 1) -> list[dict[str, Any]]:
    return [{"client": c, name: value, "tokens": tokens} for c, own in enumerate(clients) for value in own]


def drawn(rows: list[dict[str, Any]], metric: Metric = ROUGE, samples: str = "same") -> np.ndarray:
    found = resampled(values_of(rows, metric), samples)
    assert found is not None and found.shape == (DRAWS,)
    return found


def test_the_spread_of_draws_is_the_textbooks_standard_error_of_a_mean_over_clients() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.random(50), generator.random(80)
    found = drawn(answers(list(one), list(two)))
    assert found.mean() == pytest.approx((one.mean() + two.mean()) / 2, abs=0.005)
    assert found.std() == pytest.approx(math.sqrt(one.var() / 50 + two.var() / 80) / 2, rel=0.1)


def test_what_methods_have_in_common_falls_out_of_their_difference() -> None:
    base = list(np.random.default_rng(1).random(60))
    theirs, ours = drawn(answers(base)), drawn(answers([value + 0.01 for value in base]))
    assert (ours - theirs).std() < 1e-9 < theirs.std()
    assert np.array_equal(theirs, drawn(answers(base)))  # the same samples, the same draws
    assert not np.array_equal(theirs, drawn(answers(base), samples="other"))


def test_a_loss_is_over_tokens() -> None:
    rows = [{"client": 0, "loss": 8.0, "tokens": 2}, {"client": 0, "loss": 8.0, "tokens": 8}]
    assert {round(value, 6) for value in drawn(rows, LOSS)} == {4.0, 1.6, 1.0}  # twice one, both, twice the other


def test_what_has_no_value_does_not_count() -> None:
    assert set(drawn(answers([0.5, 0.5, None], [None, None]))) == {0.5}
    assert resampled(None, "same") is None
    assert values_of(answers([None, None]), ROUGE) is None
    assert values_of([], ROUGE) is None
    assert values_of([{"client": 0, "answer": "x"}], ROUGE) is None  # of a run that was not scored by it
    assert values_of([{"client": 0, "loss": 1.0}], LOSS) is None  # of an old one, without tokens
    assert values_of(answers([1.0], [math.inf], name="loss"), LOSS) is None  # there is no mean loss then
    assert values_of(answers([1.0], [None], name="loss"), LOSS) is None


def test_what_is_no_mean_over_answers_is_not_drawn_again() -> None:
    class Own(Metric):
        name = "own"
        title = "own"

        def measure(self, sample: Answered) -> float | None:
            return None

        def mean(self, samples: Any, values: Any) -> float | None:
            return 3.0

    assert values_of(answers([0.5], name="own"), Own()) is None
    assert values_of(answers([0.5], name="macro_f1"), find_metric("macro_f1")) is None


def test_an_interval_is_of_the_mean_over_seeds() -> None:
    found = interval([np.linspace(0, 1, 1001), np.linspace(1, 2, 1001)], 7)
    assert found is not None and found.samples == 7
    assert (found.low, found.high) == (pytest.approx(0.525), pytest.approx(1.475))
    assert interval([np.array([0.0, math.inf])], 7) is None


def test_so_many_samples_show_the_difference_in_four_of_five_studies() -> None:
    """Simulated: with the number that is said, a test at the 5% level finds the difference 80% of the time."""
    spread, distance, asked = 1.0, 0.25, 40
    found = power(distance, spread / math.sqrt(asked), asked, None)
    assert found.seeds is None and found.samples == 126  # ((1.960 + 0.842) / 0.25)^2
    studies = np.random.default_rng(2).normal(distance, spread, (2000, found.samples))
    assert np.mean(ttest_1samp(studies, 0, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_what_no_number_would_show_has_none() -> None:
    assert power(0.0, 0.1, 40, 0.1).samples is power(0.0, 0.1, 40, 0.1).seeds is None
    assert power(1e-9, 0.1, 40, None).samples is None
    assert power(-0.5, None, 0, 0.5).seeds == 10  # (2.262 + 0.883)^2 = 9.9, by t(9) of the printed table
    assert power(5.0, None, 0, 0.1).seeds == 2  # fewer have no interval
