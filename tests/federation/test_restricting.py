"""Questions about some rows of a client: the answer is that of a client that holds no others."""

from collections.abc import Callable

import numpy as np
import pytest
from inside import clients_of

from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.questions import AskFacts
from fedrouter_sim.federation.restricting import AskOfRows, ClientRows
from fedrouter_sim.federation.task_questions import AskFeatureSums, AskLocalClusters

ROWS = np.array([1, 2, 5, 8, 9, 13])


@pytest.fixture
def federation(federate: Callable[..., Federation]) -> Federation:
    return federate()


@pytest.fixture
def part(federation: Federation) -> ClientRows:
    return ClientRows(clients_of(federation)[1], ROWS)


def test_it_has_the_rows_and_what_belongs_to_them(federation: Federation, part: ClientRows) -> None:
    whole = clients_of(federation)[1]
    assert part.id == 1 and part.examples == tuple(whole.examples[row] for row in ROWS)
    assert np.array_equal(part.embeddings, whole.embeddings[ROWS])
    assert [one.response for one in part.encoded] == [whole.encoded[row].response for row in ROWS]
    assert set(ROWS[part.calibration_rows]) == set(ROWS) & set(whole.calibration_rows.tolist())


def test_sketches_are_kept_with_the_client(federation: Federation, part: ClientRows) -> None:
    whole = clients_of(federation)[1]
    found = part.sketches([0, 3], federation.initial, 1)
    assert set(whole._sketches) == {1, 8}
    assert np.array_equal(found, whole.sketches([1, 8], federation.initial, 1))


def test_an_answer_is_that_of_a_client_with_no_other_rows(federation: Federation, part: ClientRows) -> None:
    whole = clients_of(federation)[1]
    alone = Client(1, part.examples, whole._backbone, federation.config)
    question = AskLocalClusters(Normalizer("none"), 2, seed=1)
    asked, known = AskOfRows(question, {1: ROWS}).answer(whole), question.answer(alone)
    assert np.array_equal(asked.grouping.labels, known.grouping.labels)
    np.testing.assert_allclose(asked.sent.centroids, known.sent.centroids, atol=1e-5)
    assert AskOfRows(question, {1: ROWS}).nbytes == question.nbytes


def test_a_restricted_federation_has_the_clients_that_have_rows(federation: Federation) -> None:
    narrow = federation.restricted({1: ROWS, 3: ROWS[:2]})
    assert narrow.ids == [1, 3] and [facts.examples for facts in narrow.clients] == [6, 2]
    assert [sums.count for sums in narrow.ask(AskFeatureSums())] == [6, 2]
    assert [facts.id for facts in narrow.ask(AskFacts(), [3])] == [3]
    assert len(federation.ask(AskFacts())) == 4
