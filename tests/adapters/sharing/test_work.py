"""How the updates of several pools become one change: a client's work summed, that of clients averaged."""

import pytest
from some_adapters import random_adapter
from some_rounds import close, plus, unit

from fedrouter_sim.adapters.sharing.work import moved, work_weights

ONE = {"a": 1.0, "b": 1.0}


def test_without_agreement_every_pool_has_its_own_and_with_it_single_tasks_are_fedavg() -> None:
    single = [{"a": 30.0}, {"b": 10.0}]
    assert work_weights(single, "a", {}) == {"a": 1.0}
    assert work_weights(single, "a", ONE) == work_weights(single, "b", ONE) == {"a": 0.75, "b": 0.25}


def test_what_one_client_did_for_two_agreeing_tasks_is_summed() -> None:
    dual = [{"a": 10.0, "b": 10.0}, {"a": 10.0, "b": 10.0}]
    assert work_weights(dual, "a", ONE) == {"a": 1.0, "b": 1.0}
    mixed = [{"a": 10.0, "b": 10.0}, {"b": 20.0}]  # FedAvg: half of (a + b), and half of b
    assert work_weights(mixed, "b", ONE) == {"a": 0.5, "b": 1.0}


def test_in_between_a_client_counts_by_what_it_has_that_is_like_the_task() -> None:
    # Of the client with b alone a quarter of the examples counts for a, by a quarter: 12.5 + 0.625.
    found = work_weights([{"a": 10.0, "b": 10.0}, {"b": 10.0}], "a", {"b": 0.25})
    assert found == pytest.approx({"a": 12.5 / 13.125, "b": 0.25 * 15 / 13.125})
    assert work_weights([{"b": 10.0}], "a", {}) == {}


@pytest.mark.parametrize("agree", [0.0, 0.003, 0.1, 0.5, 1.0])
def test_single_tasks_have_a_mean_however_few_rows_and_whatever_the_agreement(agree: float) -> None:
    single = [{"a": 10.0}, *({other: 300.0} for other in "bcd")]
    found = work_weights(single, "a", dict.fromkeys("bcd", agree))
    assert sum(found.values()) == pytest.approx(1)
    assert found["a"] == pytest.approx(10 / (10 + 900 * agree**2))


def test_where_each_task_has_all_of_a_clients_steps_what_agrees_is_one_change_and_not_several() -> None:
    dual = [{"a": 30.0, "b": 10.0}, {"a": 30.0, "b": 10.0}]
    assert work_weights(dual, "a", ONE, summed=False) == {"a": 0.75, "b": 0.25}  # FedAvg, as long as one change
    assert work_weights(dual, "a", {}, summed=False) == {"a": 1.0}
    half = work_weights(dual, "a", {"b": 0.5}, summed=False)
    assert half == pytest.approx({"a": 30 / 35, "b": 5 / 35})
    mixed = work_weights([{"a": 30.0, "b": 10.0}, {"b": 40.0}], "a", {"b": 0.5}, summed=False)
    assert sum(mixed.values()) == pytest.approx(1)
    single = [{"a": 30.0}, {"b": 10.0}]
    assert work_weights(single, "a", {"b": 0.5}, summed=False) == work_weights(single, "a", {"b": 0.5})


def test_a_pool_is_moved_from_its_own_start() -> None:
    start = random_adapter(1)
    mean = plus(start, unit(0))
    changes = {"a": unit(0), "b": unit(1)}
    found = moved(start, mean, changes, {"a": 1.0, "b": 0.5})
    assert close(found, plus(mean, unit(1), 0.5)) and all(found[key].dtype == start[key].dtype for key in start)
    assert close(moved(start, mean, changes, {}), start)
