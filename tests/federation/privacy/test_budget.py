"""A run's budget: shares, the noise that follows, and what is spent."""

from collections.abc import Callable

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.privacy import CENTROIDS, KINDS, SKETCHES, SUMS, UPDATES
from fedrouter_sim.federation.privacy.accounting import epsilon_of
from fedrouter_sim.federation.privacy.budget import Budget
from fedrouter_sim.methods import METHODS, find_method

ConfigMaker = Callable[..., RunConfig]


def test_all_releases_together_spend_what_was_given_and_not_more() -> None:
    budget = Budget.of(RunConfig(dp_epsilon=8.0, rounds=5, participation=0.5), KINDS)
    history = [(one.noise_multiplier, one.sample_rate, one.times) for one in budget.releases]
    assert {one.kind: (one.sample_rate, one.times) for one in budget.releases} == {
        SUMS: (1.0, 1), CENTROIDS: (1.0, 1), SKETCHES: (1.0, 1), UPDATES: (0.5, 5),
    }  # fmt: skip
    assert 7.98 < budget.spent(5).epsilon == epsilon_of(history, 1e-5) <= 8.0
    assert sum(one.share for one in budget.releases) == pytest.approx(1)


def test_shares_say_what_each_kind_costs() -> None:
    """Of Gaussian releases without sampling the costs 1 / noise^2 add up."""
    budget = Budget.of(RunConfig(dp_epsilon=4.0, rounds=6), KINDS)
    costs = {one.kind: one.times / one.noise_multiplier**2 for one in budget.releases}
    total = sum(costs.values())
    assert {kind: cost / total for kind, cost in costs.items()} == pytest.approx(
        {SUMS: 0.1, CENTROIDS: 0.2, SKETCHES: 0.2, UPDATES: 0.5}
    )


def test_a_run_that_ends_early_spent_less_and_planning_in_full() -> None:
    budget = Budget.of(RunConfig(dp_epsilon=4.0, rounds=6), (UPDATES, CENTROIDS))
    spent = [budget.spent(rounds).epsilon for rounds in (0, 3, 6)]
    assert 0 < spent[0] < spent[1] < spent[2] <= 4.0


def test_what_sends_nothing_spends_nothing() -> None:
    assert Budget.of(RunConfig(dp_epsilon=4.0), ()).spent(8).epsilon == 0


@pytest.mark.parametrize("name", METHODS.names)
def test_every_method_says_what_is_sent_or_is_refused(name: str, micro_config: ConfigMaker) -> None:
    method = find_method(name)
    assert method.budget(micro_config(method=name)) is None
    config = micro_config(method=name, dp_epsilon=4.0)
    expected = {
        "base": (), "local": (), "ditto": (UPDATES,), "fedavg": (UPDATES,), "fedprox": (UPDATES,),
        "fedrouter": (SUMS, CENTROIDS, UPDATES),
    }  # fmt: skip
    if name not in expected:
        with pytest.raises(UserError, match=f"--dp-epsilon: --method {name} (pools by true|plans by what single)"):
            method.budget(config)
        return
    budget = method.budget(config)
    assert budget is not None
    assert {one.kind for one in budget.releases} == {*expected[name]}


def test_sketches_are_paid_for_where_tasks_are_found_by_them(micro_config: ConfigMaker) -> None:
    for changes in ({"tasks": "auto"}, {"affinity": "gradient"}, {"affinity": "update"}):
        assert SKETCHES in find_method("fedrouter").releases(micro_config(**changes))
    assert SUMS not in find_method("fedrouter").releases(micro_config(normalize="l2"))
