"""Finding the tasks: how many there are, that a given number is obeyed, and what it sends."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.backbone.sketching import SKETCH
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation import finding
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.finding import CORRECTIONS, FoundTasks, find_tasks
from fedrouter_sim.federation.task_questions import AskCorrection
from fedrouter_sim.messages import RowTasks

FederationMaker = Callable[..., Federation]


def of_kinds(*kinds: str) -> Callable[[Example], Example]:
    """Rows of so many kinds whose answers are always the same words of their kind, in turn."""
    rows = iter(range(10**6))

    def made(example: Example) -> Example:
        number = next(rows)
        kind = kinds[number % len(kinds)]
        texts = {"sum": (f"{number} + 3 = ?", "42 42 42"), "say": (f"PRICES TODAY, OSLO {number}", "bread for soup")}
        instruction, response = texts[kind]
        return Example(instruction, response, kind)

    return made


def truth_of(federation: Federation) -> list[str]:
    return [str(example.task) for client in clients_of(federation) for example in client.examples]


def tasks_of(found: FoundTasks) -> list[int]:
    """The task of each row, in client order."""
    return [
        own[label]
        for client, own in zip(found.clients, found.assignment, strict=True)
        for label in client.grouping.labels.tolist()
    ]


@pytest.mark.parametrize("affinity", ["gradient", "both"])
@pytest.mark.parametrize("kinds", [("sum", "say"), ("sum",)])
def test_without_a_number_there_are_as_many_tasks_as_kinds_of_rows(
    federate: FederationMaker, kinds: tuple[str, ...], affinity: str
) -> None:
    auto = {"tasks": "auto", "local_clusters": "auto"}
    federation = federate(relabel=of_kinds(*kinds), affinity=affinity, cut=0.45, **auto)
    found = find_tasks(federation)
    pairs = set(zip(truth_of(federation), tasks_of(found), strict=True))
    assert found.count == len(pairs) == len(kinds)
    assert len({task for _, task in pairs}) == len({kind for kind, _ in pairs}) == len(kinds)
    assert found.linked is not None and found.linked.wanted == 0.45 >= found.linked.cut


def test_centroids_alone_keep_kinds_apart_without_any_sketch(federate: FederationMaker) -> None:
    relabel = of_kinds("sum", "say")
    federation = federate(relabel=relabel, tasks="auto", local_clusters="auto", affinity="centroid", normalize="none")
    found = find_tasks(federation)
    # Raw embeddings of a random model all point in nearly the same direction.
    assert found.count == 1 and all(message.halves is None for message in found.messages)
    config = {"tasks": "auto", "local_clusters": "auto", "affinity": "centroid"}
    found = find_tasks(federation := federate(relabel=of_kinds("sum", "say"), **config))
    kinds: dict[int, set[str]] = {}
    for kind, task in zip(truth_of(federation), tasks_of(found), strict=True):
        kinds.setdefault(task, set()).add(kind)
    assert len(kinds) == found.count > 1 and all(len(own) == 1 for own in kinds.values())


@pytest.mark.parametrize("affinity", ["gradient", "both", "centroid"])
@pytest.mark.parametrize("tasks", [1, 3])
def test_a_number_is_obeyed_whatever_the_affinity(federate: FederationMaker, affinity: str, tasks: int) -> None:
    found = find_tasks(federate(tasks=tasks, local_clusters=3, affinity=affinity))
    assert found.count == tasks and set(tasks_of(found)) == set(range(tasks))
    assert (found.linked is None) == (affinity == "centroid")


def test_a_number_is_obeyed_where_rows_would_leave_a_task(
    federate: FederationMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def all_to_the_first(self: AskCorrection, client: Any) -> RowTasks:
        asked.append(client.id)
        return RowTasks(client.id, 0 * self.tasks[client.id])

    monkeypatch.setattr(finding.AskCorrection, "answer", all_to_the_first)
    federation = federate(tasks=8, local_clusters=2, affinity="gradient")
    assert find_tasks(federation).count == 8 and asked == [0, 1, 2, 3]
    assert find_tasks(federate(tasks="auto", affinity="gradient")).count >= 1
    assert len(asked) == 4 + 4 * CORRECTIONS


def test_more_tasks_than_local_clusters_are_refused(federate: FederationMaker) -> None:
    for affinity in ("gradient", "centroid"):
        with pytest.raises(UserError, match=r"--tasks 9 is more than the 8 .*local c"):
            find_tasks(federate(tasks=9, local_clusters=2, affinity=affinity))


def test_parts_are_those_of_local_clusters_and_of_one_task_each(federate: FederationMaker) -> None:
    federation = federate(tasks="auto", local_clusters="auto")
    found = find_tasks(federation)
    for client, own, facts in zip(found.clients, found.assignment, federation.clients, strict=True):
        labels, sent = client.grouping.labels, client.sent
        assert len(labels) == facts.examples == sent.sizes.sum()
        assert len(own) == len(sent.sizes) == len(client.grouping.names) == len(set(labels.tolist()))
        assert sent.halves is not None and np.isfinite(sent.halves).all()
        assert (np.linalg.norm(sent.halves.sum(axis=1), axis=1) > 0).all()  # some row of each was sketched
    first = [task for own in found.assignment for task in own]
    assert [task for place, task in enumerate(first) if task not in first[:place]] == list(range(found.count))


def test_it_is_the_same_again(federate: FederationMaker) -> None:
    one, two = (find_tasks(federate(tasks="auto")) for _ in range(2))
    assert one.assignment == two.assignment
    for a, b in zip(one.messages, two.messages, strict=True):
        assert a.halves is not None and b.halves is not None
        assert (a.centroids.tobytes(), a.halves.tobytes()) == (b.centroids.tobytes(), b.halves.tobytes())


def test_the_traffic_is_that_of_every_question(federate: FederationMaker) -> None:
    federation = federate(tasks="auto", local_clusters=2)
    found = find_tasks(federation)
    part = 32 * 4 + 8 + 8 + 2 * SKETCH * 2  # centroid, size, longest response, sketches
    parts = [len(own) for own in found.assignment]
    traffic = federation.workers.outbox.total
    up = 4 * (2 * 32 * 8 + 8) + 8 * part + sum(parts) * (part + 8)  # sums; local clusters; the final parts, with tasks
    assert found.linked is not None
    first = int(found.linked.labels.max()) + 1
    between = traffic.up - up  # what each client has of each task, after each correction
    assert between % (part + 8) == 0 and CORRECTIONS * 4 <= between // (part + 8) <= CORRECTIONS * 4 * first
    features, eight = 4 * 2 * 32 * 4, 8 * 8
    gradients = traffic.down - features - eight
    assert gradients % (4 * SKETCH * 4) == 0
    assert CORRECTIONS + first - 1 <= gradients // (4 * SKETCH * 4) <= CORRECTIONS * first


def test_the_layer_is_chosen_that_keeps_kinds_apart(federate: FederationMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = federate(relabel=of_kinds("sum", "say"), tasks="auto", local_clusters=2)
    width = clients_of(federation)[0].embeddings.shape[1]
    for client in clients_of(federation):
        truth = np.array([row.task == "sum" for row in client.examples], dtype=np.float32)
        noise = np.random.default_rng(client.id).normal(size=(len(truth), 2 * width)).astype(np.float32)
        noise[:, width:] += 100 * truth[:, None]  # the second layer knows
        client.__dict__["embeddings"] = noise
    found = find_tasks(replace(federation, embedded=(3, "last")))
    layer = found.normalizer.layer
    assert layer is not None and (layer.name, layer.place, layer.of) == ("last", 1, 2)
    assert layer.agreement["last"] > layer.agreement["3"] + 0.1
    assert len(set(zip(truth_of(federation), tasks_of(found), strict=True))) == found.count == 2
    assert all(message.centroids.shape[1] == width for message in found.messages)
    named = find_tasks(replace(federate(), embedded=(3,))).normalizer.layer
    assert named is not None and (named.name, named.of, named.agreement) == ("3", 1, {})
