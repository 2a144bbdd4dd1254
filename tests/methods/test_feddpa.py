"""FedDPA: a global adapter, then a personal one, mixed sample by sample."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from inside import backbone_of, clients_of, instructions_of

from fedrouter_sim.adapters.state import Adapter, adapter_bytes
from fedrouter_sim.answerer import Answerer
from fedrouter_sim.backbone.mixing import Mixture
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import Evaluator
from fedrouter_sim.evaluation.metrics import find_metric
from fedrouter_sim.evaluation.scores import Cell
from fedrouter_sim.federation.outbox import Traffic
from fedrouter_sim.federation.plan import Asked, Choice, Deployment, Pool
from fedrouter_sim.federation.schedule import learning_rate
from fedrouter_sim.methods import find_method

Simulator = Callable[..., Any]
Same = Callable[[Adapter, Adapter], bool]
FEDDPA = find_method("feddpa")
OWN = ["client_000", "client_001", "client_002", "client_003"]


def test_a_layer_is_not_chosen_by_clusters_that_it_has_not(run_method: Simulator) -> None:
    with pytest.raises(UserError, match="--embedding auto: goes by local clusters, of which --method feddpa has none"):
        run_method("feddpa", embedding="auto")


@pytest.fixture(scope="module")
def both_phases(run_method: Simulator) -> Any:
    return run_method("feddpa", local_steps=5, participation=0.5)


def weights_for(embeddings: list[list[float]], references: list[list[float]]) -> list[tuple[tuple[str, float], ...]]:
    deployment = Deployment((), state={"client_002": np.array(references, dtype=np.float32)})
    asked = Asked(2, ("x",) * len(embeddings), lambda: np.array(embeddings, dtype=np.float32))
    return [choice.weights for choice in FEDDPA.answered_by(deployment, asked, "fixed")]


def test_the_weight_of_the_personal_adapter_follows_the_similarity() -> None:
    references = [[2.0, 0.0, 0.0]] * 5
    same, orthogonal, opposite, half = weights_for([[7, 0, 0], [0, 3, 0], [-1, 0, 0], [1, 3**0.5, 0]], references)
    for weights, personal in ((same, 0.5), (orthogonal, 0.0), (opposite, 0.0), (half, 0.25)):
        assert [pool for pool, _ in weights] == ["global", "client_002"]
        assert dict(weights) == pytest.approx({"global": 1 - personal, "client_002": personal}, abs=1e-6)


def test_the_similarity_is_the_mean_over_the_references() -> None:
    [weights] = weights_for([[1, 0]], [[1, 0], [9, 0], [0, 1], [0, 2], [-1, 0]])  # cosines 1, 1, 0, 0, -1
    assert dict(weights)["client_002"] == pytest.approx(0.5 * 0.2)
    [weights] = weights_for([[0, 0]], [[1, 0]])
    assert dict(weights)["client_002"] == 0


def test_references_are_five_of_the_clients_own_training_samples(both_phases: Any) -> None:
    kept = both_phases.outcome.deployment.state
    assert list(kept) == OWN
    for client in clients_of(both_phases.federation):
        found = kept[f"client_{client.id:03d}"]
        assert found.shape == (5, 32)
        places = [int(np.flatnonzero((client.embeddings == row).all(axis=1))[0]) for row in found]
        assert len(set(places)) == 5
        assert places != list(range(5))


def test_the_shared_phase_is_fedavg_with_its_part_of_the_steps(
    both_phases: Any, run_method: Simulator, same: Same
) -> None:
    fedavg = run_method("fedavg", local_steps=3, participation=0.5)
    # All clients take part in the last shared round, after which the personal phase is planned.
    assert same(both_phases.heard.adapters[1]["global"], fedavg.heard.adapters[1]["global"])
    assert [record.participants for record in both_phases.outcome.records][1] == [0, 1, 2, 3]
    assert {(u.pool, u.steps) for round_ in (1, 2) for u in both_phases.heard.updates[round_]} == {("global", 3)}


def test_the_steps_of_both_phases_add_up_to_those_of_one_run(both_phases: Any, run_method: Simulator) -> None:
    for local_steps in (4, 5):
        done = run_method("feddpa", local_steps=local_steps)
        of_client = dict.fromkeys(range(4), 0)
        for updates in done.heard.updates.values():
            for update in updates:
                of_client[update.client] += update.steps
        assert of_client == dict.fromkeys(range(4), 2 * local_steps)
        assert [record.round for record in done.outcome.records] == [1, 2, 3, 4]
        assert sum(record.steps for record in done.outcome.records) == sum(steps for _, steps in done.heard.expected)


def test_personal_adapters_start_from_the_final_global_one_and_train_alone(both_phases: Any, same: Same) -> None:
    federation, config, heard = both_phases.federation, both_phases.federation.config, both_phases.heard
    final = heard.adapters[2]["global"]
    for update in heard.updates[3]:
        [group] = both_phases.outcome.plan.groups_of(update.client)
        assert group.pool == update.pool == f"client_{update.client:03d}"
        again = clients_of(federation)[update.client].train(
            group, final, None, 2, learning_rate(1, 2, config.lr, config.lr_min), 3
        )
        assert update.steps == 2
        assert same(again.adapter, update.adapter)
        assert same(heard.adapters[3][group.pool], update.adapter)
    assert same(both_phases.outcome.adapters["global"], final)  # nobody trains it any more


def test_nothing_of_the_personal_phase_is_sent(both_phases: Any) -> None:
    size = adapter_bytes(both_phases.outcome.adapters["global"])
    assert [(r.bytes_up, r.bytes_down) for r in both_phases.outcome.records] == [
        (2 * size, 2 * size), (4 * size, 4 * size), (0, 0), (0, 0)
    ]  # fmt: skip
    # Beside the rounds: the final global adapter, to every client.
    assert both_phases.outcome.traffic == Traffic(6 * size, 6 * size + 4 * size)
    [_, second] = [plan for _, plan in both_phases.heard.plans]
    assert {pool.name: pool.private for pool in second.pools} == {"global": False} | dict.fromkeys(OWN, True)


def test_before_the_personal_adapters_the_global_one_answers(both_phases: Any) -> None:
    deployment = Deployment(both_phases.heard.plans[0][1].pools)
    asked = Asked(1, ("a", "b"), lambda: pytest.fail("no need"))
    assert FEDDPA.answered_by(deployment, asked, "fixed") == [Choice.of("global")] * 2


def test_answers_are_scored_by_the_mixed_outputs(both_phases: Any) -> None:
    federation, outcome = both_phases.federation, both_phases.outcome
    backbone = backbone_of(federation)
    client = clients_of(federation)[both_phases.heard.updates[3][0].client]  # one that trained its personal adapter
    own, examples = f"client_{client.id:03d}", client.examples[:4]
    answerer = Answerer(backbone, FEDDPA, outcome.deployment, outcome.adapters.__getitem__, longest_answer=1)
    evaluator = Evaluator(answerer, None, find_metric("rouge1"))
    result = evaluator.evaluate(Cell("own", "fixed"), {client.id: examples})
    asked = Asked(client.id, instructions_of(examples), lambda: client.embeddings[:4])
    rows = np.array([[weight for _, weight in c.weights] for c in FEDDPA.answered_by(outcome.deployment, asked, "")])
    assert ((rows[:, 1] > 0) & (rows[:, 1] <= 0.5)).all()
    pair = (outcome.adapters["global"], outcome.adapters[own])
    expected = backbone.score(Mixture(pair, rows), backbone.encoder.examples(examples))
    np.testing.assert_allclose([answer.sample.loss for answer in result.answers], expected[:, 0], rtol=1e-6)
    for answer, row in zip(result.answers, rows, strict=True):
        assert answer.pool == "global"
        assert answer.weights == pytest.approx({"global": row[0], own: row[1]})
    for alone in (*pair, None):
        scores = backbone.score(alone, backbone.encoder.examples(examples))
        assert not np.allclose(scores[:, 0], expected[:, 0], rtol=1e-4)


def test_a_mixed_answer_may_be_as_long_as_either_pools(both_phases: Any) -> None:
    pools = both_phases.outcome.plan.pools
    longest = {pool.name: pool.answer_tokens for pool in pools}
    for client in clients_of(both_phases.federation):
        own = max(len(example.response) for example in client.encoded)
        assert longest[f"client_{client.id:03d}"] == own <= longest["global"]
    assert all(isinstance(pool, Pool) for pool in pools)
