"""Settings that contradict each other."""

from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError


def test_a_least_learning_rate_above_the_first_is_refused_by_both_flags() -> None:
    assert RunConfig(lr=1e-3, lr_min=1e-3).lr_min == 1e-3
    with pytest.raises(UserError, match=r"--lr-min 0\.1 is above --lr 0\.01"):
        RunConfig(lr=0.01, lr_min=0.1)


@pytest.mark.parametrize("given", [{"drift_at": 1}, {"drift_to": "single"}])
def test_a_drift_needs_a_round_and_a_split(given: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"--drift-at \d with --drift-to \w+: a drift needs both"):
        RunConfig.build(given)


def test_what_a_drift_brings_needs_a_drift_and_is_not_held_out() -> None:
    with pytest.raises(UserError, match=r"--drift-brings a: nothing drifts; give --drift-at and --drift-to"):
        RunConfig(drift_brings=("a", "b"))
    with pytest.raises(UserError, match=r"--drift-brings b: is held out .* by --hold-out b; drop one"):
        RunConfig(drift_at=1, drift_to="all", drift_brings=("a", "b"), hold_out=("b",))


def test_a_drift_is_at_most_one_round_beyond_the_last() -> None:
    assert RunConfig(rounds=3, drift_at=4, drift_to="all").drift_at == 4
    with pytest.raises(UserError, match=r"--drift-at 5: is after the last round; .* --rounds \+ 1 = 4"):
        RunConfig(rounds=3, drift_at=5, drift_to="all")


@pytest.mark.parametrize("template", ["alpaca", "plain", "chat", "Q: {instruction}\nA:", "{x} {instruction}"])
def test_a_template_is_a_name_or_holds_the_instruction_once(template: str) -> None:
    assert RunConfig(template=template).template == template


@pytest.mark.parametrize("template", ["", "Alpaca", "Chat", "Q:", "{instruction} {instruction}"])
def test_any_other_template_is_refused(template: str) -> None:
    with pytest.raises(UserError, match="--template"):
        RunConfig(template=template)
