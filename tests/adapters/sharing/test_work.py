"""How the updates of several pools become one change: a client's work summed, that of clients averaged."""

import pytest
from some_adapters import random_adapter
from some_rounds import close, plus, round_of, unit

from fedrouter_sim.adapters.sharing.work import combined, everyone, work_weights

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
    # Of the client with b alone a quarter of the examples counts for a: 10 + 2.5 of 12.5 + 2.5.
    found = work_weights([{"a": 10.0, "b": 10.0}, {"b": 10.0}], "a", {"b": 0.25})
    assert found == pytest.approx({"a": 12.5 / 15, "b": 0.25})
    assert work_weights([{"b": 10.0}], "a", {}) == {}


def test_combined_moves_every_pool_from_its_own_start() -> None:
    starts = {"a": random_adapter(1), "b": random_adapter(2), "idle": random_adapter(3)}
    round_ = round_of({"a": unit(0), "b": unit(1), "idle": None}, [{"a": 1.0, "b": 1.0}], starts=starts)
    found = combined(round_, everyone(["a", "b"]))
    both = plus(unit(0), unit(1))
    assert close(found["a"], plus(starts["a"], both)) and close(found["b"], plus(starts["b"], both))
    assert close(found["idle"], starts["idle"])
    assert all(value.dtype == starts["a"][key].dtype for key, value in found["a"].items())
