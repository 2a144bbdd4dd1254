"""Tasks that are born of what clients hold after a drift."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.clustering.affinities.centroid import CentroidAffinity
from fedrouter_sim.clustering.normalizing import Normalizer, unit_rows
from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation import births
from fedrouter_sim.federation.births import AskUnseen, follow_with_births
from fedrouter_sim.federation.federation import Federation, build_federation
from fedrouter_sim.federation.finding import FoundTasks
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.messages import CentroidMessage, Grouping, LocalClusters
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.simulation import Observer, RoundRecord, simulate

ConfigMaker = Callable[..., RunConfig]
Drifted = tuple[Federation, Plan]  # after the drift; the plan of before


@pytest.fixture(scope="module")
def drift(births_config: ConfigMaker, backbone: Any) -> Callable[..., Drifted]:
    """Return a function that plans and has the clients drift, under the settings with changes."""

    def make(**changes: Any) -> Drifted:
        config = births_config(**changes)
        federation = build_federation(config, partition_data(config), backbone)
        return federation.after_drift(), FedRouter().plan(federation)

    return make


@pytest.fixture(scope="module")
def drifted(drift: Callable[..., Drifted]) -> Drifted:
    """The federation under the settings as they are."""
    return drift()


def follow(federation: Federation, plan: Plan) -> Plan | None:
    assert plan.router is not None and plan.archive is not None
    return follow_with_births(federation, plan, plan.router, plan.archive)


def test_a_task_is_born_of_unseen_rows_and_the_old_ones_stay(drifted: Drifted) -> None:
    federation, plan = drifted
    new = FedRouter().follow(federation, plan)
    assert plan.router is not None and new.router is not None and new.archive is not None and plan.archive is not None
    assert [pool.name for pool in plan.pools] == ["task_0", "task_1"]
    assert new.pools[:2] == plan.pools
    [born] = new.pools[2:]
    say, sing = clients_of(federation)
    longest = max(len(example.response) for example in sing.encoded)
    assert born.name == "task_2" and born.answer_tokens == longest and born.parent in ("task_0", "task_1")
    # One client has rows of an old task, the other of the new one, and the task of nobody has no group.
    assert [(group.client, group.pool, len(group.examples)) for group in new.groups] == [
        (0, "task_0", 48), (1, "task_2", 48)
    ]  # fmt: skip
    for client, task in ((say, 0), (sing, 2)):
        assert set(new.router.route(client.embeddings).task.tolist()) == {task}
    for before, after in zip(plan.archive.clients, new.archive.clients, strict=True):
        assert np.array_equal(after.centroids[: len(before.sizes)], before.centroids)
    assert new.archive.tasks_of(0) == [0, 1] and new.archive.tasks_of(1) == [0, 1, 2]


def test_what_was_unseen_is_seen_by_the_new_router(drifted: Drifted) -> None:
    federation, plan = drifted
    new, client = follow(federation, plan), clients_of(federation)[1]
    assert new is not None and new.router is not None and plan.router is not None
    assert len(AskUnseen(plan.router).answer(client).rows) == 48
    assert len(AskUnseen(new.router).answer(client).rows) <= 5
    assert new.router.on_unseen == plan.router.on_unseen and len(new.router.centroids) == 3


def test_an_adapter_of_nobody_stays_as_it_was(
    births_config: ConfigMaker, backbone: Any, same: Callable[[Adapter, Adapter], bool]
) -> None:
    class Watching(Observer):
        def __init__(self) -> None:
            self.adapters: list[dict[str, Adapter]] = []

        def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
            self.adapters.append(dict(adapters))

    config, watching = births_config(rounds=2, drift_at=2), Watching()
    federation = build_federation(config, partition_data(config), backbone)
    outcome = simulate(federation, FedRouter(), watching)
    first, last = watching.adapters
    assert same(first["task_1"], last["task_1"]) and not same(first["task_0"], last["task_0"])
    [born] = outcome.plan.pools[2:]
    assert born.parent is not None and not same(last["task_2"], last[born.parent])
    assert [stage.begins for stage in outcome.stages] == [1, 2]


def test_it_is_the_same_again(drift: Callable[..., Drifted]) -> None:
    one, two = (follow(*drift()) for _ in range(2))
    assert one is not None and two is not None and one.router is not None and two.router is not None
    assert (one.groups, one.pools) == (two.groups, two.pools)
    for first, second in ((one.router.landmarks.prototypes, two.router.landmarks.prototypes),
                          (one.router.reach, two.router.reach)):  # fmt: skip
        assert first is not None and second is not None and first.tobytes() == second.tobytes()


def test_without_unseen_rows_nothing_is_born(drift: Callable[..., Drifted]) -> None:
    federation, plan = drift(drift_brings=(), hold_out=("sing",))
    assert follow(federation, plan) is None
    new = FedRouter().follow(federation, plan)
    assert new.pools == plan.pools and new.router is plan.router and new.archive is plan.archive


@pytest.mark.parametrize(("name", "value"), [("FEWEST_ROWS", 49), ("LEAST_SHARE", 1.01)])
def test_too_few_unseen_rows_are_no_task(
    drifted: Drifted, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.setattr(births, name, value)
    assert follow(*drifted) is None


@pytest.mark.parametrize("changes", [{"tasks": 2}, {"tasks": 2, "affinity": "both"}, {"affinity": "centroid"}])
def test_other_settings_send_rows_to_the_nearest_of_the_old_tasks(
    drift: Callable[..., Drifted], changes: dict[str, Any]
) -> None:
    federation, plan = drift(**changes)
    new = FedRouter().follow(federation, plan)
    assert new.router is plan.router and new.archive is plan.archive
    assert [pool.name for pool in new.pools] == [pool.name for pool in plan.pools]


def test_unseen_rows_that_are_alike_an_old_task_are_of_it(drifted: Drifted) -> None:
    federation, plan = drifted
    new = follow(replace(federation, config=replace(federation.config, cut=-1.0)), plan)
    assert new is not None and new.archive is not None and plan.archive is not None
    assert new.pools == tuple(replace(pool, answer_tokens=new.pools[place].answer_tokens)
                              for place, pool in enumerate(plan.pools))  # fmt: skip
    more = len(new.archive.assignment[1]) - len(plan.archive.assignment[1])
    assert more > 0 and len(set(new.archive.assignment[1][-more:])) == 1


def test_a_set_of_few_rows_is_left_to_the_router(drifted: Drifted, monkeypatch: pytest.MonkeyPatch) -> None:
    federation, plan = drifted
    placed = births._placed

    def of_too_few(found: Any, means: Any, cut: float) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(births, "FEWEST_ROWS", 1000)
            return placed(found, means, cut)

    monkeypatch.setattr(births, "_placed", of_too_few)
    new = follow(federation, plan)
    assert new is not None and new.archive is not None and plan.archive is not None
    assert [pool.name for pool in new.pools] == ["task_0", "task_1"]
    assert new.archive.assignment == plan.archive.assignment
    assert sum(len(group.examples) for group in new.groups) == 96


@pytest.mark.parametrize("at_once", [1, 4, 7, 1000])
def test_affinities_are_means_over_parts_however_many_are_compared_at_once(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    rng = np.random.default_rng(0)

    def sent(client: int, parts: int) -> CentroidMessage:
        rows = rng.normal(size=(parts, 8)).astype(np.float32)
        return CentroidMessage(client, rows, np.ones(parts, dtype=np.int64), np.ones(parts, dtype=np.int64))

    old, new = (tuple(sent(client, 5) for client in range(3)) for _ in range(2))
    known, sets = ((0, 1, 2, 0, 1), (2, 2, 1, 0, 0), (1, 1, 1, 1, 1)), ((0, 1, 0, 1, 1), (0,) * 5, (1, 0, 1, 0, 1))
    found = FoundTasks(
        Normalizer("none"),
        tuple(LocalClusters(one, Grouping(one.client, np.arange(5), ("",) * 5, one.answer_tokens)) for one in new),
        sets,
    )
    monkeypatch.setattr(births, "_AT_ONCE", at_once)
    means = births._means(CentroidAffinity(), Archive(old, known), found, 3)
    unit = [unit_rows(np.concatenate([one.centroids for one in each])).astype(np.float64) for each in (new, old)]
    alike, of_new, of_old = unit[0] @ unit[1].T, np.ravel(sets), np.ravel(known)
    expected = [[alike[np.ix_(of_new == s, of_old == task)].mean() for task in range(3)] for s in range(2)]
    np.testing.assert_allclose(means, expected, atol=1e-6)


def test_the_traffic_of_a_client_that_takes_no_part_is_small(drifted: Drifted) -> None:
    federation, plan = drifted
    assert plan.router is not None and plan.router.reach_of_all is not None
    question = AskUnseen(plan.router)
    assert question.nbytes == plan.router.reach_of_all.nbytes == 100
    assert [question.answer(client).nbytes for client in clients_of(federation)] == [16, 16]
    assert AskUnseen(replace(plan.router, reach_of_all=None)).answer(clients_of(federation)[1]).rows.tolist() == []
