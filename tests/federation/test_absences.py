"""Who fails in a round: drawn client by client, so that it does not depend on anything else."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.absences import Absences, check_reachable, draw_absences
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Plan, Pool

ConfigMaker = Callable[..., RunConfig]


def test_nobody_fails_unless_asked_for(micro_config: ConfigMaker) -> None:
    assert draw_absences(range(1000), micro_config(), 1) == Absences()


def test_shares_are_as_asked_for_and_nobody_vanishes_and_is_late(micro_config: ConfigMaker) -> None:
    found = draw_absences(range(2000), micro_config(client_dropout=0.25, stragglers=0.5), 3)
    assert len(found.dropped) == pytest.approx(500, abs=80)
    assert len(found.late) == pytest.approx(750, abs=90)
    assert not {*found.dropped} & {*found.late}
    assert list(found.late) == sorted(found.late)


def test_a_draw_depends_on_seed_round_and_client_alone(micro_config: ConfigMaker) -> None:
    config = micro_config(client_dropout=0.5)
    of_all = draw_absences(range(100), config, 1).dropped
    assert draw_absences(range(0, 100, 2), config, 1).dropped == tuple(c for c in of_all if c % 2 == 0)
    assert draw_absences(range(100), replace(config, stragglers=0.5), 1).dropped == of_all
    assert draw_absences(range(100), config, 2).dropped != of_all
    assert draw_absences(range(100), replace(config, seed=7), 1).dropped != of_all


def test_late_updates_are_not_clipped_by_factors_of_another_basis(micro_config: ConfigMaker) -> None:
    late = {"aggregation": "product", "clip_update": 1.0, "stragglers": 0.5}
    pool = Pool("global", 1)
    plan = Plan((Group(0, 0, (0,), "global"),), (pool,))
    with pytest.raises(UserError, match=r"^--clip-update 1: .* under --aggregation product, .*; take --late drop$"):
        check_reachable(plan, 4, micro_config(**late))
    for fine in ({"late": "drop"}, {"aggregation": "mean"}, {"stragglers": 0.0}, {"clip_update": 0.0}):
        check_reachable(plan, 4, micro_config(**late | fine))
    check_reachable(replace(plan, pools=(replace(pool, private=True),)), 1, micro_config(**late))


def test_more_clients_than_a_round_has_are_refused(micro_config: ConfigMaker) -> None:
    config, pool = micro_config(min_participants=3, participation=0.5), Pool("global", 1)
    plan = Plan((Group(0, 0, (0,), "global"),), (pool,))
    check_reachable(plan, 6, config)
    check_reachable(Plan(), 1, config)
    check_reachable(replace(plan, gathered=True), 1, config)
    check_reachable(replace(plan, pools=(replace(pool, private=True),)), 1, config)
    with pytest.raises(UserError, match=r"--min-participants 3: a round has 2 clients at most, .* --participation"):
        check_reachable(plan, 4, config)
