"""Hostile clients: who they are, and that all that they send passes their lies, once."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.attacks.attack import Attack
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.hostile import Lies, attackers_of, poisoned, said_of_attackers
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.task_questions import AskLocalClusters
from fedrouter_sim.federation.workers import Order
from fedrouter_sim.messages import CentroidMessage, Grouping, LocalClusters, Update

ConfigMaker = Callable[..., RunConfig]
FederationMaker = Callable[..., Federation]


def test_attackers_are_a_rounded_share_drawn_by_the_seed(micro_config: ConfigMaker) -> None:
    def drawn(share: float, **more: Any) -> frozenset[int]:
        return attackers_of(40, micro_config(**{"attack": "noise", "attackers": share} | more))

    assert [len(drawn(share)) for share in (0.0, 0.1, 0.26, 1.0)] == [0, 4, 10, 40]
    assert drawn(0.1) < drawn(0.2) < drawn(0.3)
    assert drawn(0.2, seed=2) != drawn(0.2) == drawn(0.2, attack="scale")
    assert drawn(0.2, attack="none") == frozenset()


def test_it_is_said_who_they_are(micro_config: ConfigMaker) -> None:
    hostile = attackers_of(4, micro_config(attack="scale", attackers=0.25))
    assert said_of_attackers(4, micro_config(attack="scale", attackers=0.25)) == [
        f"--attack scale: 1 of 4 clients are hostile: {min(hostile)}"
    ]
    assert said_of_attackers(4, micro_config()) == []
    assert said_of_attackers(2, micro_config(attack="scale")) == [
        "--attack scale: --attackers 0.2 of 2 clients is nobody; raise it"
    ]


def test_attackers_lie_in_answers_and_others_do_not(federate: FederationMaker) -> None:
    lying, honest = federate(attack="centroid-shift", attackers=0.5), federate()
    hostile = attackers_of(4, lying.config)
    question = AskLocalClusters(Normalizer("none"), 2, seed=1)
    for told, true in zip(lying.ask(question), honest.ask(question), strict=True):
        factor = -2 if told.sent.client in hostile else 1
        assert np.allclose(told.sent.centroids, factor * true.sent.centroids)
    assert lying.workers.outbox.total == honest.workers.outbox.total


class Broken(Attack):
    """An attack of a user that gives what nobody can use."""

    name = "broken"

    def rows(self, examples: Any, generator: Any) -> Any:
        return examples[:1]

    def update(self, update: Any, start: Any, generator: Any) -> Any:
        return None

    def clusters(self, message: Any, generator: Any) -> Any:
        return message.centroids["what"]


def test_an_attack_of_a_user_that_fails_is_named() -> None:
    update = Update(1, 0, "global", 1, 5, (), {}, 1.0, 1, 1)
    sent = CentroidMessage(1, np.zeros((1, 2), np.float32), np.ones(1, np.int64), np.ones(1, np.int64))
    lies = Lies(Broken(), seed=1)
    with pytest.raises(UserError, match=r"^attack broken: failed .TypeError: a lie in place of .'Update', 1, 0"):
        lies(update, 1, {})
    with pytest.raises(UserError, match=r"^attack broken: failed .IndexError"):
        lies(sent, 1, None)
    with pytest.raises(
        UserError, match=r"^attack broken: failed \(ValueError: rows\(\) of client 0 gave no 2 examples"
    ):
        poisoned(Broken(), 0, [Example("one", "two")] * 2, seed=1)


@pytest.mark.parametrize("change", [{"client": 2}, {"centroids": np.zeros((1, 2), np.float32)}])
def test_a_lie_about_local_clusters_is_of_the_same_client_and_of_as_many(change: dict[str, Any]) -> None:
    class Other(Broken):
        def clusters(self, message: Any, generator: Any) -> Any:
            return replace(message, **change)

    sent = CentroidMessage(1, np.zeros((2, 2), np.float32), np.ones(2, np.int64), np.ones(2, np.int64))
    told = LocalClusters(sent, Grouping(1, np.zeros(2, np.int64), ("a", "b"), np.ones(2, np.int64)))
    for message in (sent, told):
        with pytest.raises(UserError, match=r"^attack broken: failed .TypeError: a lie in place of"):
            Lies(Other(), seed=1)(message, 1, None)


@pytest.mark.parametrize("strength", [1e30, 1e300])
def test_centroids_that_nobody_can_count_with_are_refused(federate: FederationMaker, strength: float) -> None:
    """FAISS would end the process, or distances would be no numbers."""
    lying = federate(attack="centroid-shift", attackers=1.0, option=(f"strength={strength}",))
    with pytest.raises(UserError, match=r"^--attack centroid-shift: client 0 sends local clusters beyond 1e\+12, "):
        lying.ask(AskLocalClusters(Normalizer("none"), 2, seed=1))


def test_attackers_train_on_changed_rows_and_all_others_on_their_own(federate: FederationMaker) -> None:
    lying, honest = federate(attack="label-flip", attackers=0.5), federate()
    pairs = zip(clients_of(lying), clients_of(honest), strict=True)
    changed = [one.id for one, two in pairs if one.examples != two.examples]
    assert set(changed) == attackers_of(4, lying.config) and len(changed) == 2


def test_an_update_that_was_kept_is_counted_and_not_lied_about_again(federate: FederationMaker, same: Any) -> None:
    federation = federate(attack="scale", attackers=1.0)
    order = Order(Group(1, 0, (0, 1), "global"), federation.initial, None, 1, 0.02, 3)
    [sent] = federation.workers.train([order], Observer())
    before = federation.workers.outbox.take()
    [again] = federation.workers.train([order], Observer(), [sent])
    assert same(again.adapter, sent.adapter)  # type: ignore[union-attr]
    assert federation.workers.outbox.take().up == sent.nbytes == before.up
    [anew] = federation.workers.train([order], Observer())
    assert same(anew.adapter, sent.adapter)  # type: ignore[union-attr]


def test_where_all_data_are_in_one_place_nobody_lies_in_messages(federate: FederationMaker, same: Any) -> None:
    order = Order(Group(0, 0, (0, 1), "global"), federate().initial, None, 1, 0.02, 3)
    one, two = (
        next(iter(federate(**more).workers.gathered().train([order], Observer())))
        for more in ({}, {"attack": "scale", "attackers": 1.0})
    )
    assert same(one.adapter, two.adapter)  # type: ignore[union-attr]


def test_sketches_that_are_not_finite_are_refused(recwarn: pytest.WarningsRecorder) -> None:
    endless = np.full((1, 2, 4), np.inf, dtype=np.float16)
    sent = CentroidMessage(1, np.zeros((1, 2), np.float32), np.ones(1, np.int64), np.ones(1, np.int64), endless)
    with pytest.raises(UserError, match=r"^--attack .*: client 1 sends local clusters beyond 1e\+12, "):
        Lies(Honest(), seed=1)(sent, 1, None)
    assert not recwarn.list


class Honest(Attack):
    """Says what is so."""

    name = "honest"
