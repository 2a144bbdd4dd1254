"""The expected calibration error."""

import pytest

from fedrouter_sim.evaluation.reliability import calibration_error


def test_by_hand() -> None:
    confidence = [0.95, 0.91, 0.55, 0.58, 0.5]
    right = [True, False, True, True, False]
    expected = 2 / 5 * abs(1 / 2 - 0.93) + 3 / 5 * abs(2 / 3 - (0.55 + 0.58 + 0.5) / 3)
    assert calibration_error(confidence, right) == pytest.approx(expected)


def test_certainty_falls_into_the_last_bin() -> None:
    assert calibration_error([1.0, 0.9], [True, True]) == pytest.approx(0.05)
    assert calibration_error([1.0] * 4, [True, False, False, False]) == pytest.approx(0.75)


def test_gaps_of_one_bin_cancel() -> None:
    assert calibration_error([0.5] * 2, [True, False]) == 0


def test_there_is_none_without_texts_or_where_one_has_no_confidence() -> None:
    assert calibration_error([], []) is None
    assert calibration_error([0.5, None], [True, True]) is None
