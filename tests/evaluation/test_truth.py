"""Label counts, and the agreement of clusters with them, against scikit-learn directly."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from inside import clients_of
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.truth import Agreement, Truth
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.methods import find_method
from fedrouter_sim.partition.run_data import RunData, partition_data
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.simulation import Stage

FederationMaker = Callable[..., Federation]


def data_of(federation: Federation) -> RunData:
    """Return the data that the federation's clients were made of."""
    return partition_data(federation.config)


def planned(federation: Federation, method: str) -> Stage:
    """Return a run's first stage."""
    plan = find_method(method).plan(federation)
    return Stage(plan, federation.gathered() if plan.gathered else federation)


@pytest.mark.parametrize("split", ["dual", "all", "single"])
def test_agreement_is_scikit_learns(federate: FederationMaker, split: str) -> None:
    federation = federate(split=split)
    stage = planned(federation, "fedrouter")
    plan, truth = stage.plan, Truth.of([stage], data_of(federation))
    assert truth is not None
    true: list[str] = []
    found: list[str] = []
    aris, nmis = [], []
    for client in clients_of(federation):
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
        truth = Truth.of([planned(federation, name)], data_of(federation))
        assert truth is not None
        assert truth.agreement() == Agreement(None, None, None, None)


def test_pools_count_their_examples_labels(federate: FederationMaker) -> None:
    federation = federate()
    truth = Truth.of([planned(federation, "oracle")], data_of(federation))
    assert truth is not None
    assert truth.pools == {
        "label_0": {"opinion": 24}, "label_1": {"reverse": 16}, "label_2": {"sum": 20}, "label_3": {"title": 20}
    }  # fmt: skip


def test_pools_count_all_that_they_were_trained_on(federate: FederationMaker) -> None:
    before = federate(drift_at=2, drift_to="single")
    after, data, first = before.after_drift(), data_of(before), planned(before, "local")
    stages = [first, Stage(find_method("local").follow(after, first.plan), after, drifted=True, begins=2)]
    truth = Truth.of(stages, data)
    assert truth is not None
    for client, (one, two) in enumerate(zip(clients_of(before), clients_of(after), strict=True)):
        counts = Counter(example.task for example in (*one.examples, *two.examples))
        assert truth.pools[f"client_{client:03d}"] == dict(counts)
    # A pool that is no longer there counts for nothing.
    gone = dataclasses.replace(planned(before, "fedavg"), begins=0)
    assert Truth.of([gone, *stages], data) == truth


def test_clients_that_drift_before_they_train_count_as_they_are_after_it(federate: FederationMaker) -> None:
    before = federate(drift_at=1, drift_to="single")
    after, first = before.after_drift(), planned(before, "local")
    second = Stage(find_method("local").follow(after, first.plan), after, drifted=True, begins=1)
    truth = Truth.of([first, second], data_of(before))
    assert truth is not None
    for client in clients_of(after):
        assert truth.pools[f"client_{client.id:03d}"] == dict(Counter(e.task for e in client.examples))


def test_examples_in_one_place_are_counted_by_their_labels_there(federate: FederationMaker) -> None:
    before = federate(drift_at=2, drift_to="single")
    data, first = data_of(before), planned(before, "central")
    apart = Truth.of([planned(before, "oracle")], data)
    assert apart is not None and Truth.of([first], data) == apart
    follower = find_method("central").follow(before.after_drift(), first.plan)
    both = Truth.of([first, Stage(follower, before.after_drift().gathered(), drifted=True, begins=2)], data)
    new = Counter(example.task for client in clients_of(before.after_drift()) for example in client.examples)
    labels = {pool.name: pool.label or "" for pool in first.plan.pools}
    assert both is not None and both.pools == {
        pool: {label: apart.pools[pool][label] + new[label]} for pool, label in labels.items()
    }


def test_local_clusters_are_counted_as_they_were_before_a_drift(federate: FederationMaker) -> None:
    before = federate(drift_at=2, drift_to="single")
    data, first, after = data_of(before), planned(before, "fedrouter"), before.after_drift()
    once = Truth.of([first], data)
    both = Truth.of(
        [first, Stage(find_method("fedrouter").follow(after, first.plan), after, drifted=True, begins=2)], data
    )
    assert once is not None and both is not None
    assert both.clusters == once.clusters
    held = [Counter(example.task for example in client.examples) for client in clients_of(before)]
    for client, tables in both.clusters.items():
        assert sum((Counter(table) for table in tables), Counter()) == held[client]
    counted = sum(sum(counts.values()) for counts in both.pools.values())
    assert counted == sum(client.examples for client in (*before.clients, *after.clients))


def test_unlabelled_data_has_no_truth(federate: FederationMaker) -> None:
    federation = federate()
    stage, data = planned(federation, "fedrouter"), data_of(federation)
    assert Truth.of([stage], data) is not None
    last = data.clients[-1]
    half = dataclasses.replace(last, train=(*last.train[:-1], dataclasses.replace(last.train[-1], task=None)))
    assert Truth.of([stage], dataclasses.replace(data, clients=(*data.clients[:-1], half))) is None


def test_majority_and_oracle_routing() -> None:
    truth = Truth({"task_0": {"a": 5, "b": 9}, "task_1": {"a": 4, "c": 1}, "task_2": {}}, {})
    assert [truth.majority_task(pool) for pool in ("task_0", "task_1", "task_2", "nope")] == ["b", "a", None, None]
    assert [truth.pool_for(label) for label in ("a", "b", "c", "d", None)] == ["task_0", "task_0", "task_1", None, None]
    assert Truth({}, {}).pool_for("a") is None


def test_reassigned_counts_the_same_clusters_elsewhere(federate: FederationMaker) -> None:
    federation = federate()
    stage = planned(federation, "fedrouter")
    archive, truth = stage.plan.archive, Truth.of([stage], data_of(federation))
    assert truth is not None
    assert archive is not None
    assert truth.reassigned(archive, 4) == truth
    flipped = dataclasses.replace(archive, assignment=tuple((0,) * len(a) for a in archive.assignment))
    everything = {"opinion": 24, "reverse": 16, "sum": 20, "title": 20}
    assert truth.reassigned(flipped, 2).pools == {"task_0": everything, "task_1": {}}
    assert truth.reassigned(flipped, 2).clusters == truth.clusters


def test_linked_clusters_of_one_task_are_measured_together(federate: FederationMaker, tmp_path: Path) -> None:
    apart = Truth({"task_0": {"a": 6}, "task_1": {"b": 4}}, {0: [{"a": 3}, {"b": 4}, {"a": 3}]})
    assert (apart.agreement().ari_local or 0) < 1
    together = dataclasses.replace(apart, tasks={0: [0, 1, 0]})
    assert together.agreement().ari_local == 1 == together.agreement().nmi_local
    together.save(tmp_path / "truth.json")
    assert Truth.load(tmp_path / "truth.json") == together
    # A plan that was linked says which belong together, and what was linked once stays so.
    federation = federate(tasks="auto", local_clusters="auto")
    stage = planned(federation, "fedrouter")
    truth, archive = Truth.of([stage], data_of(federation)), stage.plan.archive
    assert truth is not None and archive is not None
    assert [tuple(tasks) for tasks in truth.tasks.values()] == list(archive.assignment)
    flipped = dataclasses.replace(archive, assignment=tuple((0,) * len(a) for a in archive.assignment))
    assert {task for tasks in truth.reassigned(flipped, 1).tasks.values() for task in tasks} == {0}
    assert apart.reassigned(Archive((), ()), 1).tasks == {}


def test_save_and_load(tmp_path: Path) -> None:
    truth = Truth({"task_0": {"a": 5, "b": 9}, "task_1": {}}, {3: [{"a": 5}, {"b": 9}]})
    truth.save(tmp_path / "truth.json")
    assert Truth.load(tmp_path / "truth.json") == truth
    assert Truth.load(tmp_path / "absent.json") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"pools": {}}', '{"pools": {}, "clusters": []}'])
def test_damaged_file_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"{path}: (damaged|not readable|not a JSON object)") as caught:
        Truth.load(path)
    assert "\n" not in str(caught.value)
