"""What releases add up to is what Opacus says, and the noise found is the least that keeps within an epsilon."""

import importlib.util

import pytest
from opacus.accountants import RDPAccountant
from opacus.accountants.utils import get_noise_multiplier

from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.privacy import accounting
from fedrouter_sim.federation.privacy.accounting import epsilon_of, least_scale, orders_for, require_opacus


@pytest.mark.parametrize("history", [[(2.0, 1.0, 8)], [(1.1, 0.25, 10), (6.0, 1.0, 1), (9.0, 1.0, 1)]])
def test_it_is_what_the_accountant_counts(history: list[tuple[float, float, int]]) -> None:
    accountant = RDPAccountant()
    accountant.history = list(history)
    theirs, found = accountant.get_epsilon(delta=1e-5), epsilon_of(history, 1e-5)
    assert found == accountant.get_epsilon(delta=1e-5, alphas=orders_for(history))
    sampled = any(rate < 1 for _, rate, _ in history)  # then there are no broken orders
    assert theirs <= found <= theirs * 1.03 if sampled else found == pytest.approx(theirs, rel=1e-12)


def test_nothing_released_costs_nothing() -> None:
    assert epsilon_of([], 1e-5) == epsilon_of([(2.0, 1.0, 0)], 1e-5) == 0


def test_for_equal_steps_the_noise_is_that_of_opacus() -> None:
    theirs = get_noise_multiplier(
        target_epsilon=4, target_delta=1e-5, sample_rate=1.0, steps=8, accountant="rdp", epsilon_tolerance=1e-4
    )
    assert least_scale(lambda scale: [(scale, 1.0, 8)], 4, 1e-5) == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize("epsilon", [0.5, 8.0, 1000.0])
def test_the_noise_is_the_least_that_is_enough(epsilon: float) -> None:
    def history(scale: float) -> list[tuple[float, float, int]]:
        return [(scale, 1.0, 3), (2 * scale, 1.0, 1)]

    scale = least_scale(history, epsilon, 1e-5)
    assert epsilon_of(history(scale), 1e-5) <= epsilon < epsilon_of(history(scale / 1.001), 1e-5)


def test_an_epsilon_that_no_noise_is_enough_for_is_refused() -> None:
    with pytest.raises(UserError, match=r"--dp-epsilon 1e-09: no noise is enough for it at --dp-delta 1e-05"):
        least_scale(lambda scale: [(scale, 1.0, 1)], 1e-9, 1e-5)


def test_without_opacus_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    require_opacus()
    monkeypatch.setattr(accounting, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"the package opacus.* is not installed; `pip install 'fedrouter-sim\[privacy\]'`"
    ):
        epsilon_of([(1.0, 1.0, 1)], 1e-5)


def test_another_opacus_without_the_accountant_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert importlib.util.find_spec("opacus") is not None
    monkeypatch.delattr("opacus.accountants.RDPAccountant")
    with pytest.raises(UserError, match=r"the package opacus has no accountant of use here \(.*RDPAccountant"):
        epsilon_of([(1.0, 1.0, 1)], 1e-5)
