"""Local training: nothing is ever shared."""

from collections.abc import Callable

from inside import backbone_of, clients_of, instructions_of

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Asked, Choice, Deployment
from fedrouter_sim.federation.schedule import learning_rate
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import find_method
from fedrouter_sim.simulation import Observer, simulate

FederationMaker = Callable[..., Federation]
Same = Callable[[Adapter, Adapter], bool]


def test_each_adapter_is_what_its_client_trains_alone(federate: FederationMaker, same: Same) -> None:
    federation = federate()
    config = federation.config
    outcome = simulate(federation, find_method("local"), Observer())
    assert list(outcome.adapters) == ["client_000", "client_001", "client_002", "client_003"]
    for client, adapter in zip(clients_of(federation), outcome.adapters.values(), strict=True):
        alone = backbone_of(federation).initial_adapter(config.seed)
        [group] = outcome.plan.groups_of(client.id)
        for round_ in (1, 2):
            lr = learning_rate(round_, config.rounds, config.lr, config.lr_min)
            alone = client.train(group, alone, None, config.local_steps, lr, round_).adapter
        assert same(adapter, alone)


def test_each_pool_holds_its_clients_update_alone(federate: FederationMaker, same: Same) -> None:
    updates: dict[str, list[Update]] = {}

    class Listener(Observer):
        def received(self, update: Update) -> None:
            updates.setdefault(update.pool, []).append(update)

    outcome = simulate(federate(), find_method("local"), Listener())
    for client, (pool, received) in enumerate(updates.items()):
        assert pool == f"client_{client:03d}"
        assert {update.client for update in received} == {client}
        assert same(outcome.adapters[pool], received[-1].adapter)


def test_a_client_answers_by_its_own_adapter(federate: FederationMaker) -> None:
    federation = federate()
    client = clients_of(federation)[0]
    asked = Asked(2, instructions_of(client.examples[:2]), lambda: client.embeddings[:2])
    plan = find_method("local").plan(federation)
    assert find_method("local").answered_by(Deployment(plan.pools), asked, "fixed") == [Choice.of("client_002")] * 2


def test_nothing_is_sent(federate: FederationMaker) -> None:
    outcome = simulate(federate(), find_method("local"), Observer())
    assert all(pool.private for pool in outcome.plan.pools)
    assert [(record.bytes_up, record.bytes_down) for record in outcome.records] == [(0, 0)] * 2
    assert outcome.traffic == Traffic()
    assert all(record.steps == 16 for record in outcome.records)
