"""The bootstrap over test samples: against textbook formulas, paired, and the same draws again; and power."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from fedrouter_sim.arrays import Doubles
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.metrics.metric import Answered, Metric
from fedrouter_sim.studies.resampling import (
    DRAWS,
    _weights,
    distinct,
    interval,
    power,
    resampled,
    row_key,
    values_of,
)

ROUGE, LOSS = find_metric("rouge1"), find_metric("loss")


def answers(
    *clients: Sequence[float | None], name: str = "rouge1", tokens: int = 1, kind: str = "row"
) -> list[dict[str, Any]]:
    """Return the lines of a cell; each client is asked other rows, and of each `kind` others."""
    return [
        {"client": c, name: value, "tokens": tokens, "instruction": f"{kind} {c} {i}", "reference": ""}
        for c, own in enumerate(clients)
        for i, value in enumerate(own)
    ]


def drawn(rows: list[dict[str, Any]], metric: Metric = ROUGE) -> Doubles:
    found = resampled(*values_of(rows, metric), "same")
    assert found is not None and found.shape == (DRAWS,)
    return found


def test_the_spread_of_draws_is_the_textbooks_standard_error_of_a_mean_over_clients() -> None:
    generator = np.random.default_rng(0)
    for sizes in ((50, 80), (4, 6)):
        one, two = map(generator.random, sizes)
        found = drawn(answers(one.tolist(), two.tolist()))
        expected = math.sqrt(one.var(ddof=1) / len(one) + two.var(ddof=1) / len(two)) / 2
        assert found.mean() == pytest.approx((one.mean() + two.mean()) / 2, abs=0.01)
        assert found.std() == pytest.approx(expected, rel=0.1), sizes


def test_what_methods_have_in_common_falls_out_of_their_difference() -> None:
    base = np.random.default_rng(1).random(60)
    theirs, ours = drawn(answers(base.tolist())), drawn(answers((base + 0.01).tolist()))
    assert (ours - theirs).std() < 1e-9 < theirs.std()
    assert np.array_equal(theirs, drawn(answers(base.tolist())))  # the same rows, the same draws
    assert not np.array_equal(theirs, drawn(answers(base.tolist(), kind="other row")))


def test_rows_that_several_seeds_ask_count_once_and_others_each() -> None:
    base = np.random.default_rng(3).random(60).tolist()
    seeds = [drawn(answers(base)), drawn(answers(base)), drawn(answers(base))]
    alone = seeds[0].std()
    assert np.mean(seeds, axis=0).std() == pytest.approx(alone)
    others = [drawn(answers(base, kind=f"row of {seed}")) for seed in range(3)]
    assert np.mean(others, axis=0).std() == pytest.approx(alone / math.sqrt(3), rel=0.1)
    known = [values_of(answers(base, kind=kind), ROUGE)[1] for kind in ("one", "one", "two")]
    assert distinct(known) == 120 and distinct([*known, None]) is None
    values, _ = values_of(answers(base), ROUGE)
    unknown = [resampled(values, None, samples) for samples in ("one", "two")]  # as records of old have them
    assert unknown[0] is not None and not np.array_equal(unknown[0], unknown[1])


def test_a_row_has_a_key_whatever_its_text_holds() -> None:
    assert len({row_key("a", "b"), row_key("ab", ""), row_key("\ud800", "b")}) == 3


def test_a_client_of_one_sample_leaves_no_interval() -> None:
    assert resampled(*values_of(answers([0.5, 0.7], [0.5]), ROUGE), "same") is None
    twice = [line | {"instruction": "the same"} for line in answers([0.5, 0.5])]
    assert resampled(*values_of(twice, ROUGE), "same") is None  # of one row, asked twice


def test_a_loss_is_over_tokens() -> None:
    rows = [
        {"client": 0, "loss": loss, "tokens": tokens, "instruction": str(tokens), "reference": ""}
        for loss, tokens in ((8.0, 2), (8.0, 8), (6.0, 4))
    ]
    weights = np.stack([_weights(row_key(str(tokens), "")) for tokens in (2, 8, 4)])
    mean = (weights * [[8.0], [8.0], [6.0]]).sum(axis=0) / (weights * [[2], [8], [4]]).sum(axis=0)
    assert drawn(rows, LOSS) == pytest.approx(22 / 14 + (mean - 22 / 14) * math.sqrt(4 / 2))


def test_what_has_no_value_does_not_count() -> None:
    assert drawn(answers([0.5, 0.5, None], [None, None])) == pytest.approx(0.5)
    assert resampled(None, None, "same") is None
    none = (None, None)
    assert values_of(answers([None, None]), ROUGE) == none
    assert values_of([], ROUGE) == none
    assert values_of([{"client": 0, "answer": "x"}], ROUGE) == none  # of a run that was not scored by it
    assert values_of([{"client": 0, "loss": 1.0}], LOSS) == none  # of an old one, without tokens
    assert values_of(answers([1.0], [math.inf], name="loss"), LOSS) == none  # there is no mean loss then
    assert values_of(answers([1.0], [None], name="loss"), LOSS) == none


def test_what_is_no_mean_over_answers_is_not_drawn_again() -> None:
    class Own(Metric):
        name = "own"
        title = "own"

        def measure(self, sample: Answered) -> float | None:
            return None

        def mean(self, samples: Any, values: Any) -> float | None:
            return 3.0

    assert values_of(answers([0.5], name="own"), Own()) == (None, None)
    assert values_of(answers([0.5], name="macro_f1"), find_metric("macro_f1")) == (None, None)


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
    assert power(0.01, None, 0, 0.5).seeds is None  # 19,622: no plan has so many


def test_where_there_are_enough_samples_more_are_no_advice() -> None:
    """32 would do, and there are 40: that the difference is not seen is due to the seeds."""
    assert power(0.5, 1 / math.sqrt(40), 40, 0.5) == power(0.5, None, 0, 0.5)
    assert power(0.5, 1 / math.sqrt(30), 30, None).samples == 32
