"""The cut between tasks, where the settings leave it open: by how alike unrelated tasks are to the backbone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedrouter_sim.clustering.affinities import find_affinity
from fedrouter_sim.clustering.affinities.affinity import GRADIENTS, Affinity, Embedded
from fedrouter_sim.clustering.linking import CUT
from fedrouter_sim.federation.cutting import alike_unrelated, with_cut
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.finding import find_tasks
from fedrouter_sim.federation.unrelated import unrelated

FederationMaker = Callable[..., Federation]
OPEN = {"tasks": "auto", "local_clusters": "auto"}


class Alike(Affinity):
    """All tasks are alike by 0.3, whatever they are."""

    name = "alike"
    evidence = GRADIENTS
    above_unrelated = 0.25

    def vectors(self, embedded: Embedded) -> np.ndarray:
        count = len(embedded.centroids)
        return np.linalg.cholesky(np.full((count, count), 0.3) + 0.7 * np.eye(count)).astype(np.float32)


def cut_of(federation: Federation, affinity: Affinity) -> float | str:
    return with_cut(federation, affinity, alike_unrelated(federation, affinity, None)).config.cut


def test_it_lies_above_the_mean_affinity_of_unrelated_tasks(federate: FederationMaker) -> None:
    federation = federate(**OPEN)
    assert cut_of(federation, Alike()) == 0.55
    high = Alike()
    high.above_unrelated = 0.9  # type: ignore[misc]
    assert cut_of(federation, high) == 1.0


def test_what_is_given_or_not_needed_stays_as_it_is(federate: FederationMaker) -> None:
    for settings in ({**OPEN, "cut": 0.3}, {"tasks": 2}):
        federation = federate(**settings)
        assert alike_unrelated(federation, Alike(), None) is None
        assert cut_of(federation, Alike()) == settings.get("cut", CUT)
    assert cut_of(federate(**OPEN), find_affinity("centroid")) == CUT  # it goes by no sketches
    assert cut_of(replace(federate(**OPEN), unrelated=None), Alike()) == CUT


@pytest.mark.parametrize("affinity", ["both", "gradient"])
def test_it_is_the_same_for_all_runs_of_a_backbone_and_asks_no_client(federate: FederationMaker, affinity: str) -> None:
    cuts = set()
    for seed in (1, 2):
        federation = federate(**OPEN, affinity=affinity, seed=seed)
        before = federation.workers.outbox.total
        cuts.add(cut_of(federation, find_affinity(affinity)))
        assert federation.workers.outbox.total == before
    [cut] = cuts
    assert isinstance(cut, float) and cut != CUT
    linked = find_tasks(federation).linked
    assert linked is not None and linked.wanted == cut and linked.unrelated is not None
    assert cut == pytest.approx(find_affinity(affinity).above_unrelated + linked.unrelated, abs=1e-4)


def test_rows_are_of_six_tasks_that_no_label_tells_and_in_three_parts(federate: FederationMaker) -> None:
    federation = federate()
    parts = federation.unrelated() if federation.unrelated else []
    clients = [client for part in parts for client in part.workers._clients.values()]  # type: ignore[attr-defined]
    assert [len(part.workers._clients) for part in parts] == [6] * 3  # type: ignore[attr-defined]
    rows = [example for client in clients for example in client.examples]
    assert len(rows) == len(set(rows)) == 144 and {example.task for example in rows} == {None}
    assert [part.seed for part in parts] == [0, 1, 2]


def test_where_rows_do_not_fit_the_usual_cut_is_taken(federate: FederationMaker) -> None:
    federation = federate(**OPEN)
    assert federation.unrelated is not None
    backbone, config = federation.unrelated.args  # type: ignore[attr-defined]
    encoder = backbone.encoder
    before, encoder.flaws = encoder.flaws, lambda rows: {0: "too long"}
    try:
        assert unrelated(backbone, config) == []
        assert cut_of(federation, Alike()) == CUT
    finally:
        encoder.flaws = before
