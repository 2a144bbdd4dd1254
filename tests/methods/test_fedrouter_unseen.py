"""FedRouter on texts that count as unseen: the nearest adapter, the bare backbone, or a mix of both."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.adapters.together import ByAnswer
from fedrouter_sim.federation.plan import Asked, Choice
from fedrouter_sim.methods.fedrouter import FedRouter
from fedrouter_sim.routing.router import Router


@pytest.fixture(scope="module")
def planned(federate: Any) -> tuple[Any, Router, Asked]:
    """A deployment, its router, and texts of which the last is far from all tasks."""
    federation = federate(unseen="bare")
    deployment = FedRouter().plan(federation).deployment
    embeddings = clients_of(federation)[0].embeddings[:3].copy()
    embeddings[2] = 50 * embeddings[2][::-1]
    assert deployment.router is not None
    return deployment, deployment.router, Asked(0, ("a", "b", "c"), lambda: embeddings)


def choices(planned: Any, routing: str = "global", **changes: Any) -> list[Choice]:
    deployment, router, asked = planned
    return FedRouter().answered_by(replace(deployment, router=replace(router, **changes)), asked, routing)


@pytest.mark.parametrize("routing", ["global", "local"])
def test_what_answers_an_unseen_text(planned: Any, routing: str) -> None:
    assert planned[1].on_unseen == "bare"  # by the setting
    answered = choices(planned, routing, on_unseen="answer")
    assert [one.unseen is not None and one.unseen > 0.99 for one in answered] == [False, False, True]
    assert all(one.mixed == {} and one.pool for one in answered)
    bare, mixed = choices(planned, routing), choices(planned, routing, on_unseen="mix")
    assert bare[:2] == mixed[:2] == answered[:2]
    pool = answered[2].pool
    assert bare[2].weights == () and bare[2].pool is None
    assert mixed[2].weights == ((pool, 0.5),) and mixed[2].mixed == {pool: 0.5} and mixed[2].pool == pool
    for one in (bare[2], mixed[2]):
        assert (one.margin, one.distance, one.unseen) == (answered[2].margin, answered[2].distance, answered[2].unseen)


def test_only_adapters_that_answer_together_without_the_bare_backbone_are_averaged(planned: Any) -> None:
    unsure = choices(planned, rule="ensemble", temperature=1e4, on_unseen="mix")
    assert [len(one.weights) for one in unsure] == [2, 2, 2]
    assert [one.together for one in unsure] == [ByAnswer(), ByAnswer(), None]
    assert sum(weight for _, weight in unsure[2].weights) == pytest.approx(0.5)
    sure = choices(planned, rule="ensemble", temperature=1e-4, on_unseen="answer")
    assert sure == choices(planned, rule="prototypes", temperature=1e-4, on_unseen="answer")


def test_the_score_does_not_depend_on_who_asks(planned: Any) -> None:
    assert [one.unseen for one in choices(planned)] == [one.unseen for one in choices(planned, "local")]


def test_a_router_that_was_not_calibrated_has_no_score(planned: Any) -> None:
    found = choices(planned, reach=None, reach_of_all=None)
    assert [one.unseen for one in found] == [None] * 3 and all(one.pool for one in found)


def test_the_reach_survives_the_files_and_older_ones_have_none(planned: Any, tmp_path: Any) -> None:
    router, embeddings = planned[1], planned[2].embeddings
    router.save(tmp_path)
    loaded = Router.load(tmp_path)
    assert (loaded.on_unseen, loaded.temperature) == ("bare", router.temperature)
    np.testing.assert_array_equal(loaded.unseen(embeddings), router.unseen(embeddings))
    replace(router, reach=None, reach_of_all=None).save(tmp_path)
    assert Router.load(tmp_path).unseen(embeddings) is None
