"""Sharing by affinity: what becomes of task adapters of known changes."""

import pytest
from some_adapters import random_adapter, same
from some_rounds import close, plus, round_of, unit

from fedrouter_sim.adapters.sharing import find_sharing
from fedrouter_sim.adapters.sharing.rule import SharedRound
from fedrouter_sim.errors import UserError

DUAL = [{"a": 10.0, "b": 10.0}, {"a": 10.0, "b": 10.0}]
START = random_adapter(0)
APART = {"a": unit(0), "b": unit(1)}
ALIKE = {"a": unit(0), "b": plus(unit(0), unit(1), 0.1)}


def test_it_leaves_what_it_was_given_alone_and_gives_all_pools_as_they_were() -> None:
    round_ = round_of({**ALIKE, "idle": None}, DUAL)
    found = find_sharing("affinity").shared(round_)
    assert list(found) == ["a", "b", "idle"]
    for adapter in found.values():
        assert {k: (v.shape, v.dtype) for k, v in adapter.items()} == {k: (v.shape, v.dtype) for k, v in START.items()}
    assert same(round_.starts["a"], random_adapter(0)) and close(round_.means["a"], plus(START, unit(0)), 0)
    nothing = SharedRound(1, 4, round_.starts, round_.starts, [])
    assert all(same(adapter, START) for adapter in find_sharing("affinity").shared(nothing).values())


def test_the_same_rounds_give_the_same_bits() -> None:
    one, two = (find_sharing("affinity") for _ in range(2))
    for number, changes in enumerate((ALIKE, APART), 1):
        first, second = (rule.shared(round_of(changes, DUAL, number)) for rule in (one, two))
        assert all(same(first[pool], second[pool]) for pool in first)


def test_it_is_the_sum_where_all_agree_and_each_alone_where_none_do() -> None:
    agree = find_sharing("affinity").shared(round_of({"a": unit(0), "b": unit(0)}, DUAL))
    assert close(agree["a"], plus(START, unit(0), 2.0)) and close(agree["b"], agree["a"])
    apart = find_sharing("affinity").shared(round_of(APART, DUAL))
    assert close(apart["a"], plus(START, unit(0))) and close(apart["b"], plus(START, unit(1)))
    opposite = {key: -value for key, value in unit(0).items()}
    against = find_sharing("affinity").shared(round_of({"a": unit(0), "b": opposite}, DUAL))
    assert close(against["a"], plus(START, unit(0)))


def test_it_takes_by_a_power_of_the_cosine() -> None:
    both = plus(unit(0), unit(1))  # a cosine of 0.5 ** 0.5 with unit(0)
    for power, weight in ((2.0, 0.5), (4.0, 0.25)):
        found = find_sharing("affinity", {"power": str(power)}).shared(round_of({"a": unit(0), "b": both}, DUAL))
        assert close(found["a"], plus(plus(START, unit(0)), both, weight), 1e-5)


def test_it_remembers_the_rounds_before() -> None:
    forgets, remembers = (find_sharing("affinity", {"keep": keep, "power": "1"}) for keep in ("0", "1"))
    for rule in (forgets, remembers):
        rule.shared(round_of({"a": unit(0), "b": unit(0)}, DUAL))
    second = round_of(APART, DUAL, 2)
    assert close(forgets.shared(second)["a"], plus(START, unit(0)))
    assert close(remembers.shared(second)["a"], plus(plus(START, unit(0)), unit(1), 0.5), 1e-5)
    goes_on = find_sharing("affinity", {"power": "1"})
    goes_on.memory = dict(remembers.memory)  # what another process kept
    one, other = (rule.shared(round_of(APART, DUAL, 3)) for rule in (remembers, goes_on))
    assert all(same(one[pool], other[pool]) for pool in one)


def test_a_pool_that_was_away_or_is_new_has_the_cosines_of_the_rounds_in_which_both_were_there() -> None:
    rule = find_sharing("affinity", {"power": "1"})
    held = [{"a": 1.0, "b": 1.0, "c": 1.0}]
    rule.shared(round_of({"a": unit(0), "b": unit(0), "c": None}, [{"a": 1.0, "b": 1.0}]))
    rule.shared(round_of({"a": None, "b": unit(0), "c": unit(0)}, [{"b": 1.0, "c": 1.0}], 2))
    found = rule.shared(round_of({"a": unit(0), "b": unit(1), "c": unit(1)}, held, 3))
    # a and b agreed in one of two rounds, b and c in both, and a never met c.
    assert close(found["a"], plus(plus(START, unit(0)), unit(1), 0.5), 1e-5)
    assert close(found["c"], plus(START, unit(1), 2.0), 1e-5)


def test_rounds_before_count_less_also_those_that_one_of_two_was_not_in() -> None:
    rule = find_sharing("affinity", {"power": "1", "keep": "0.5"})
    rule.shared(round_of({"a": unit(0), "b": unit(0)}, DUAL))
    rule.shared(round_of({"a": None, "b": unit(1)}, [{"b": 1.0}], 2))
    found = rule.shared(round_of({"a": unit(0), "b": unit(1)}, DUAL, 3))
    # They agreed in the first of two rounds, which is two rounds ago: a quarter of 1 against 1.
    assert close(found["a"], plus(plus(START, unit(0)), unit(1), 0.2), 1e-5)


@pytest.mark.parametrize(("option", "value"), [("power", "0"), ("keep", "2"), ("keep", "-1")])
def test_options_outside_their_limits_are_refused(option: str, value: str) -> None:
    with pytest.raises(UserError, match=f"^--option {option}={value}: "):
        find_sharing("affinity", {option: value})
