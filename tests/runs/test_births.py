"""Births and sleep, as the stages of a run have them."""

from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Plan, Pool
from fedrouter_sim.runs.births import Asleep, Birth, asleep_after, births_of, said_of
from fedrouter_sim.simulation import Stage


def stage(begins: int, pools: str, *groups: Group) -> Stage:
    return Stage(Plan(groups, tuple(Pool(name, 1) for name in pools)), None, begins=begins)  # type: ignore[arg-type]


FIRST = stage(1, "ab", Group(0, 0, (0, 1), "a"), Group(1, 0, (0,), "b"))
SECOND = stage(5, "abc", Group(0, 0, (0, 1), "c"), Group(1, 0, (2,), "a"), Group(1, 1, (0, 1, 3), "c"))


def test_a_pool_that_comes_later_was_born() -> None:
    assert births_of([FIRST]) == ()
    assert births_of([FIRST, SECOND]) == (Birth("c", 5, 5, (0, 1)),)


def test_a_pool_that_nobody_has_rows_of_sleeps_since_the_first_round_without() -> None:
    assert asleep_after([FIRST]) == ()
    assert asleep_after([FIRST, SECOND]) == (Asleep("b", 5),)
    awake = stage(7, "abc", Group(0, 0, (0,), "b"), Group(1, 0, (0,), "a"))
    assert asleep_after([FIRST, SECOND, awake]) == (Asleep("c", 7),)


def test_it_is_said_in_sentences() -> None:
    assert said_of(births_of([FIRST, SECOND]), asleep_after([FIRST, SECOND])) == [
        "c was born in round 5, of 5 rows of 2 clients",
        "b sleeps since round 5: no client has rows of it, and its adapter is kept",
    ]
    assert said_of([Birth("c", 2, 30, (4,))], []) == ["c was born in round 2, of 30 rows of 1 client"]
