"""Label counts, and the agreement of clusters with them, against scikit-learn directly."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.truth import Agreement, Truth
from fedrouter_sim.methods import METHODS, Federation
from fedrouter_sim.simulation import Stage

FederationMaker = Callable[..., Federation]


@pytest.mark.parametrize("split", ["dual", "all", "single"])
def test_agreement_is_scikit_learns(federate: FederationMaker, split: str) -> None:
    federation = federate(split=split)
    plan = METHODS["fedrouter"].plan(federation)
    truth = Truth.of([Stage(plan, federation.clients)])
    assert truth is not None
    true: list[str] = []
    found: list[str] = []
    aris, nmis = [], []
    for client in federation.clients:
        own = [example.task or "" for example in client.examples]
        pool = {i: group.pool for group in plan.groups_of(client.id) for i in group.examples}
        true += own
        found += [pool[i] for i in range(len(own))]
        if len(set(own)) > 1:
            aris.append(adjusted_rand_score(own, plan.local_clusters[client.id]))
            nmis.append(normalized_mutual_info_score(own, plan.local_clusters[client.id]))
    agreement = truth.agreement()
    assert agreement.ari_global == pytest.approx(adjusted_rand_score(true, found))
    assert agreement.nmi_global == pytest.approx(normalized_mutual_info_score(true, found))
    if split == "single":
        assert (agreement.ari_local, agreement.nmi_local) == (None, None)
    else:
        assert agreement.ari_local == pytest.approx(np.mean(aris))
        assert agreement.nmi_local == pytest.approx(np.mean(nmis))


def test_local_agreement_leaves_out_clients_of_one_task() -> None:
    clusters = {0: [{"a": 4}, {"b": 4}], 1: [{"a": 3}, {"a": 5}], 2: [{"a": 2, "b": 2}, {"a": 2, "b": 2}]}
    agreement = Truth({"task_0": {"a": 18}, "task_1": {"b": 8}}, clusters).agreement()
    mixed = adjusted_rand_score(list("aabbaabb"), [0, 0, 0, 0, 1, 1, 1, 1])
    assert agreement.ari_local == pytest.approx((1 + mixed) / 2)
    assert agreement.ari_global == 1


def test_methods_without_clusters_have_no_agreement(federate: FederationMaker) -> None:
    for name in ("fedavg", "oracle", "local", "base"):
        federation = federate()
        truth = Truth.of([Stage(METHODS[name].plan(federation), federation.clients)])
        assert truth is not None
        assert truth.agreement() == Agreement(None, None, None, None)


def test_pools_count_their_examples_labels(federate: FederationMaker) -> None:
    federation = federate()
    truth = Truth.of([Stage(METHODS["oracle"].plan(federation), federation.clients)])
    assert truth is not None
    assert truth.pools == {
        "label_0": {"opinion": 24}, "label_1": {"reverse": 16}, "label_2": {"sum": 20}, "label_3": {"title": 20}
    }  # fmt: skip


def test_pools_count_all_that_they_were_trained_on(federate: FederationMaker) -> None:
    before, after = federate(), federate(split="single")
    plan = METHODS["local"].plan(before)
    stages = [Stage(plan, before.clients), Stage(METHODS["local"].follow(after, plan), after.clients)]
    truth = Truth.of(stages)
    assert truth is not None
    for client, (one, two) in enumerate(zip(before.clients, after.clients, strict=True)):
        counts = Counter(example.task for example in (*one.examples, *two.examples))
        assert truth.pools[f"client_{client:03d}"] == dict(counts)
    # A pool that is no longer there counts for nothing.
    gone = Stage(METHODS["fedavg"].plan(before), before.clients)
    assert Truth.of([gone, *stages]) == truth


def test_unlabelled_data_has_no_truth(federate: FederationMaker) -> None:
    federation = federate(relabel=lambda example: dataclasses.replace(example, task=None))
    assert Truth.of([Stage(METHODS["fedrouter"].plan(federation), federation.clients)]) is None


def test_majority_and_oracle_routing() -> None:
    truth = Truth({"task_0": {"a": 5, "b": 9}, "task_1": {"a": 4, "c": 1}, "task_2": {}}, {})
    assert [truth.majority_task(pool) for pool in ("task_0", "task_1", "task_2", "nope")] == ["b", "a", None, None]
    assert [truth.pool_for(label) for label in ("a", "b", "c", "d", None)] == ["task_0", "task_0", "task_1", None, None]
    assert Truth({}, {}).pool_for("a") is None


def test_reassigned_counts_the_same_clusters_elsewhere(federate: FederationMaker) -> None:
    federation = federate()
    plan = METHODS["fedrouter"].plan(federation)
    truth = Truth.of([Stage(plan, federation.clients)])
    assert truth is not None
    assert plan.router is not None
    assert truth.reassigned(plan.router) == truth
    flipped = dataclasses.replace(
        plan.router,
        centroids=plan.router.centroids[:2],
        assignment=tuple((0,) * len(a) for a in plan.router.assignment),
    )
    everything = {"opinion": 24, "reverse": 16, "sum": 20, "title": 20}
    assert truth.reassigned(flipped).pools == {"task_0": everything, "task_1": {}}


def test_save_and_load(tmp_path: Path) -> None:
    truth = Truth({"task_0": {"a": 5, "b": 9}, "task_1": {}}, {3: [{"a": 5}, {"b": 9}]})
    truth.save(tmp_path / "truth.json")
    assert Truth.load(tmp_path / "truth.json") == truth
    assert Truth.load(tmp_path / "absent.json") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pools": {}}', '{"pools": {}, "clusters": []}'])
def test_damaged_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"{path}: damaged") as caught:
        Truth.load(path)
    assert "\n" not in str(caught.value)
