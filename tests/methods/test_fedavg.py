"""FedAvg is FedRouter with one task and one local cluster."""

from collections.abc import Callable

import pytest

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Asked, Choice, Deployment
from fedrouter_sim.methods import find_method
from fedrouter_sim.simulation import Observer, simulate

FederationMaker = Callable[..., Federation]


def test_equals_fedrouter_with_one_task_and_one_cluster(
    federate: FederationMaker, same: Callable[[Adapter, Adapter], bool]
) -> None:
    changes = {"tasks": 1, "local_clusters": 1, "lora_dropout": 0.2, "participation": 0.75}
    fedavg = simulate(federate(**changes), find_method("fedavg"), Observer())
    fedrouter = simulate(federate(**changes), find_method("fedrouter"), Observer())
    assert list(fedavg.adapters) == ["global"]
    assert list(fedrouter.adapters) == ["task_0"]
    assert len(fedavg.records) == 2
    assert same(fedavg.adapters["global"], fedrouter.adapters["task_0"])
    assert [list(r.losses.values()) for r in fedavg.records] == [list(r.losses.values()) for r in fedrouter.records]
    assert fedavg.plan.pools[0].answer_tokens == fedrouter.plan.pools[0].answer_tokens


def test_the_global_adapter_answers_everything(federate: FederationMaker) -> None:
    federation = federate()
    plan = find_method("fedavg").plan(federation)
    assert [len(plan.groups_of(client.id)) for client in federation.clients] == [1] * 4
    asked = Asked(2, ("a", "b", "c"), lambda: pytest.fail("nobody needs embeddings"))
    assert find_method("fedavg").answered_by(Deployment(plan.pools), asked, "fixed") == [Choice((("global", 1.0),))] * 3
