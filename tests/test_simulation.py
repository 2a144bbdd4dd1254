"""The round loop: who takes part, what is averaged, what is counted."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from inside import backbone_of, calibration_traffic, clients_of

from fedrouter_sim.adapters.state import Adapter, adapter_bytes
from fedrouter_sim.backbone.batching import draw_batches
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.observers import Observer, RoundRecord
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Deployment, LastRound, Plan
from fedrouter_sim.federation.schedule import learning_rate, share_steps
from fedrouter_sim.messages import PoolAdapter, Update
from fedrouter_sim.methods import find_method
from fedrouter_sim.methods.fedavg import FedAvg
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.simulation import Outcome, simulate

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]


class Listener(Observer):
    """Keeps all that the loop tells."""

    def __init__(self) -> None:
        self.updates: dict[int, list[Update]] = {}
        self.adapters: dict[int, dict[str, Adapter]] = {}
        self.planned_steps: dict[int, list[int]] = {}
        self.losses: list[float] = []
        self._round = 0

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        self.plan = plan

    def round_started(self, record: RoundRecord) -> None:
        self._round = record.round
        self.updates[record.round], self.planned_steps[record.round] = [], []

    def client_started(self, client: int, steps: int) -> None:
        self.planned_steps[self._round].append(steps)

    def stepped(self, loss: float) -> None:
        self.losses.append(loss)

    def received(self, update: Update) -> None:
        self.updates[self._round].append(update)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        self.adapters[record.round] = dict(adapters)


@pytest.fixture(scope="module")
def partial(federate: FederationMaker) -> tuple[Federation, Outcome, Listener]:
    """A fedrouter simulation in which half of the clients take part in a round."""
    settings = {"participation": 0.5, "rounds": 4, "local_steps": 5, "sharing": "none", "lr_scaling": "none"}
    federation, listener = federate(**settings), Listener()
    return federation, simulate(federation, find_method("fedrouter"), listener), listener


def test_a_plan_beyond_the_rounds_of_the_run_starts_the_schedule_anew(run_method: Callable[..., Any]) -> None:
    rates = [record.lr for record in run_method("feddpa", rounds=3, local_steps=2).outcome.records]
    assert rates == [learning_rate(round_, 3, 0.02, 1e-4) for round_ in (1, 2, 3, 1, 2, 3)]
    assert len(set(rates)) == 3


@pytest.mark.parametrize("method", ["fedavg", "fedrouter", "clustered", "ditto", "oracle", "central", "local"])
def test_before_a_drift_all_is_as_without_and_after_it_clients_train_on_the_new_mixture(
    run_method: Callable[..., Any], same: Same, method: str
) -> None:
    changes = {"rounds": 3, "local_steps": 3, "tasks": 3, "warmup_rounds": 1}
    plain = run_method(method, **changes)
    drifted = run_method(method, drift_at=3, drift_to="single", **changes)
    for round_ in (1, 2):
        one, two = plain.heard.adapters[round_], drifted.heard.adapters[round_]
        assert one.keys() == two.keys()
        assert all(same(one[pool], two[pool]) for pool in one)
        assert plain.outcome.records[round_ - 1].losses == drifted.outcome.records[round_ - 1].losses
    assert plain.outcome.records[2].losses != drifted.outcome.records[2].losses
    stages = drifted.outcome.stages
    assert len(stages) == len(plain.outcome.stages) + 1
    assert drifted.heard.plans[-1][0] == 2  # rounds done before the last plan
    assert [stage.drifted for stage in stages] == [False] * (len(stages) - 1) + [True]
    new = {example.task for example in clients_of(stages[-1].federation)[0].examples}
    assert len(new) == (4 if method == "central" else 1)
    assert stages[-2].plan.groups != stages[-1].plan.groups
    assert [pool.name for pool in stages[-2].plan.pools] == [pool.name for pool in stages[-1].plan.pools]


def test_after_a_drift_every_row_of_fedrouter_goes_to_the_nearest_of_all_tasks(run_method: Callable[..., Any]) -> None:
    done = run_method("fedrouter", rounds=2, drift_at=2, drift_to="all")
    first, last = done.outcome.stages
    assert last.plan.router is first.plan.router
    router = last.plan.router
    for client in clients_of(last.federation):
        points = router.normalizer(client.embeddings)
        nearest = np.linalg.norm(points[:, None] - router.centroids[None], axis=2).argmin(1)
        groups = last.plan.groups_of(client.id)
        assert {i: group.pool for group in groups for i in group.examples} == {
            i: f"task_{task}" for i, task in enumerate(nearest)
        }
        assert len(groups) > len(last.plan.archive.tasks_of(client.id))  # the clusters that it once had are no limit
    assert done.outcome.records[1].steps == 16


@pytest.mark.parametrize("method", ["fedrouter", "feddpa"])
def test_a_drift_after_the_last_round_changes_no_adapter(
    run_method: Callable[..., Any], same: Same, method: str
) -> None:
    plain, drifted = run_method(method), run_method(method, drift_at=3, drift_to="single")
    assert plain.outcome.adapters.keys() == drifted.outcome.adapters.keys()
    assert all(same(value, drifted.outcome.adapters[pool]) for pool, value in plain.outcome.adapters.items())
    assert [r.losses for r in plain.outcome.records] == [r.losses for r in drifted.outcome.records]
    assert len(drifted.outcome.stages) == len(plain.outcome.stages)


def test_a_drift_in_the_first_round_leaves_no_round_of_the_first_mixture(run_method: Callable[..., Any]) -> None:
    done = run_method("fedavg", drift_at=1, drift_to="single")
    assert [before for before, _ in done.heard.plans] == [0, 0]
    sizes = {update.client: update.examples for update in done.heard.updates[1]}
    assert sizes == {client.id: client.examples for client in done.outcome.stages[1].federation.clients}
    assert sizes != {client.id: client.examples for client in done.federation.clients}


def test_what_answers_is_the_last_plans(run_method: Callable[..., Any]) -> None:
    outcome = run_method("feddpa", local_steps=2).outcome
    assert outcome.plan is outcome.stages[-1].plan
    assert (outcome.deployment.pools, outcome.deployment.state) == (outcome.plan.pools, outcome.plan.state)
    assert list(outcome.adapters) == [pool.name for pool in outcome.plan.pools]


def test_only_participants_train(partial: tuple[Federation, Outcome, Listener]) -> None:
    _, outcome, listener = partial
    assert len({tuple(record.participants) for record in outcome.records}) > 1
    for record in outcome.records:
        expected = [(g.client, g.rank) for client in record.participants for g in outcome.plan.groups_of(client)]
        assert [(update.client, update.group) for update in listener.updates[record.round]] == expected
        assert {update.round for update in listener.updates[record.round]} == {record.round}


def test_round_means_and_pools_without_updates(
    partial: tuple[Federation, Outcome, Listener], weighted_mean: Callable[..., dict[str, np.ndarray]], same: Same
) -> None:
    federation, outcome, listener = partial
    before = dict.fromkeys(outcome.adapters, federation.initial)
    kept = averaged = 0
    for round_, after in listener.adapters.items():
        for pool, adapter in after.items():
            own = [update for update in listener.updates[round_] if update.pool == pool]
            if not own:
                assert same(adapter, before[pool])
                kept += 1
                continue
            expected = weighted_mean([update.adapter for update in own], [update.examples for update in own])
            for key, value in adapter.items():
                np.testing.assert_allclose(value.numpy(), expected[key], rtol=1e-6)
            assert not same(adapter, before[pool])
            averaged += len(own) > 1
        before = after
    assert kept
    assert averaged
    assert all(same(outcome.adapters[pool], before[pool]) for pool in before)


def test_groups_start_from_their_pools_adapter(partial: tuple[Federation, Outcome, Listener], same: Same) -> None:
    federation, outcome, listener = partial
    config = federation.config
    for update in listener.updates[3]:
        groups = outcome.plan.groups_of(update.client)
        start = listener.adapters[2][update.pool]
        again = clients_of(federation)[update.client].train(
            groups[update.group], start, None, update.steps, learning_rate(3, 4, 0.02, 1e-4), 3
        )
        assert config.lr == 0.02
        assert same(again.adapter, update.adapter)


def test_counts_are_right(partial: tuple[Federation, Outcome, Listener]) -> None:
    federation, outcome, listener = partial
    config = federation.config
    nbytes = 4 * sum(v.numel() for v in backbone_of(federation).initial_adapter(0).values())
    for record in outcome.records:
        steps = tokens = groups = 0
        for client in record.participants:
            own = outcome.plan.groups_of(client)
            for group, count in zip(own, share_steps(own, config.local_steps, config.budget), strict=True):
                encoded = [clients_of(federation)[client].encoded[i] for i in group.examples]
                lengths = [len(example.prompt.ids) + len(example.response) for example in encoded]
                generator = numpy_generator(config.seed, "batches", record.round, client, group.rank)
                batches = draw_batches(lengths, count, config.batch_size, generator)
                tokens += sum(lengths[i] for batch in batches for i in batch)
                steps += count
                groups += 1
        assert (record.steps, record.tokens) == (steps, tokens)
        assert record.steps == 2 * config.local_steps
        assert record.examples == steps * config.batch_size
        assert record.bytes_up == record.bytes_down == groups * nbytes
        assert listener.planned_steps[record.round] == [config.local_steps] * 2
        assert record.lr == learning_rate(record.round, config.rounds, config.lr, config.lr_min)
    assert len(listener.losses) == sum(record.steps for record in outcome.records)


def test_losses_are_weighted_by_steps(partial: tuple[Federation, Outcome, Listener]) -> None:
    _, outcome, listener = partial
    for record in outcome.records:
        for pool, loss in record.losses.items():
            own = [update for update in listener.updates[record.round] if update.pool == pool]
            mean = np.average([update.loss for update in own], weights=[update.steps for update in own])
            assert loss == pytest.approx(mean)
        assert set(record.losses) == {update.pool for update in listener.updates[record.round]}


def test_every_group_takes_all_steps_under_per_group(federate: FederationMaker) -> None:
    federation = federate(budget="per-group", local_steps=3, rounds=1)
    outcome = simulate(federation, find_method("fedrouter"), Observer())
    assert outcome.records[0].steps == 3 * len(outcome.plan.groups) > 3 * 4


def test_what_planning_took_is_in_the_whole_and_in_no_round(partial: tuple[Federation, Outcome, Listener]) -> None:
    federation, outcome, _ = partial
    assert federation.config.normalize == "standardize"
    sums, message = 2 * 32 * 8 + 8, 2 * 32 * 4 + 2 * 8 + 2 * 8  # centroids, sizes, longest responses
    told = 4 * (2 * 32 * 4 + 4 * 32 * 4) + 8 * 8  # features and task centroids to each; eight assignments
    calibration = calibration_traffic(federation, outcome.plan)
    assert min(calibration) > 0
    up, down = (sum(getattr(record, name) for record in outcome.records) for name in ("bytes_up", "bytes_down"))
    assert outcome.traffic.up - up == 4 * (sums + message) + calibration[0]
    assert outcome.traffic.down - down == told + calibration[1]
    assert outcome.traffic == federation.workers.outbox.total


class TwoPlans(FedAvg):
    """FedAvg whose plan is made anew, the same, after round 2."""

    def __init__(self, by_updates: bool = True) -> None:
        self.by_updates = by_updates
        self.last: list[LastRound] = []

    def plan(self, federation: Federation) -> Plan:
        plan = super().plan(federation)
        return Plan(plan.groups, plan.pools, until=2, more_follows=True, by_updates=self.by_updates)

    def next_plan(self, federation: Federation, last: LastRound) -> Plan:
        self.last.append(last)
        federation.tell({0: PoolAdapter(last.adapters["global"])})
        return Plan(last.plan.groups, last.plan.pools)


def test_the_next_plan_is_made_from_the_last_round_of_all_clients(federate: FederationMaker, same: Same) -> None:
    federation, listener, method = federate(participation=0.25, rounds=3), Listener(), TwoPlans()
    outcome = simulate(federation, method, listener)
    assert [len(record.participants) for record in outcome.records] == [1, 4, 1]
    [last] = method.last
    assert last.plan is outcome.stages[0].plan
    assert same(last.starts["global"], listener.adapters[1]["global"])
    assert same(last.adapters["global"], listener.adapters[2]["global"])
    assert [update.client for update in last.updates] == [0, 1, 2, 3]
    assert list(last.updates) == listener.updates[2]
    size = adapter_bytes(federation.initial)
    assert [(record.bytes_up, record.bytes_down) for record in outcome.records] == [
        (size, size), (4 * size, 4 * size), (size, size)
    ]  # fmt: skip
    assert outcome.traffic == Traffic(6 * size, 7 * size)


def test_a_plan_that_does_not_go_by_updates_has_none_held(federate: FederationMaker) -> None:
    method = TwoPlans(by_updates=False)
    outcome = simulate(federate(participation=0.25, rounds=3), method, Listener())
    assert [len(record.participants) for record in outcome.records] == [1, 4, 1]
    assert [(last.updates, list(last.adapters)) for last in method.last] == [((), ["global"])]


def test_a_plan_that_is_made_already_is_followed(federate: FederationMaker, same: Same) -> None:
    class Given(FedAvg):
        def plan(self, federation: Federation) -> Plan:
            raise AssertionError("there is a plan already")

    federation, other = federate(), federate()
    plan = FedAvg().plan(federation)
    outcome = simulate(federation, Given(), Observer(), plan=plan)
    assert outcome.plan is plan
    assert same(outcome.adapters["global"], simulate(other, FedAvg(), Observer()).adapters["global"])


def test_the_adapters_of_every_round_are_validated(federate: FederationMaker, same: Same) -> None:
    seen: list[tuple[int, Deployment, Mapping[str, Adapter]]] = []

    def validate(round_: int, deployment: Deployment, adapters: Mapping[str, Adapter]) -> dict[str, float] | None:
        seen.append((round_, deployment, adapters))
        return {"loss": 0.5} if round_ == 2 else None

    listener = Listener()
    outcome = simulate(federate(), find_method("fedavg"), listener, validate)
    assert [record.validation for record in outcome.records] == [None, {"loss": 0.5}]
    assert [(round_, deployment) for round_, deployment, _ in seen] == [(n, outcome.deployment) for n in (1, 2)]
    assert all(same(adapters["global"], listener.adapters[round_]["global"]) for round_, _, adapters in seen)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (None, "has to give a Plan, and gave NoneType"),
        (Plan((Group(0, 0, (0,), "absent"),)), "a group of its plan is of pool 'absent', which the plan lacks"),
    ],
)
def test_what_a_method_plans_is_checked(federate: FederationMaker, plan: Any, said: str) -> None:
    class Odd(FedAvg):
        name = "odd"

        def plan(self, federation: Federation) -> Any:
            return plan

    with pytest.raises(UserError, match=f"method odd: {said}"):
        simulate(federate(), Odd(), Observer())
