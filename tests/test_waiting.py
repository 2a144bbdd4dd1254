"""How threads wait: asleep on a loaded machine, as the user says where they say so, and else as OpenMP does."""

import sys

import pytest

from fedrouter_sim import waiting
from fedrouter_sim.waiting import choose_waiting, chosen


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of four cores are in use, and torch is not loaded."""
    monkeypatch.setattr(waiting, "_load", lambda: 2.0)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    monkeypatch.setattr(waiting, "usable_cores", lambda: 4)
    monkeypatch.setattr(waiting, "_chosen", [])
    monkeypatch.delitem(sys.modules, "torch")


@pytest.mark.parametrize(
    ("given", "sleeps"),
    [
        ({}, True),
        ({"OMP_NUM_THREADS": "3"}, True),
        ({"OMP_NUM_THREADS": "3,1"}, True),
        ({"OMP_NUM_THREADS": "2"}, False),
        ({"OMP_NUM_THREADS": "1"}, False),
        ({"OMP_NUM_THREADS": "many"}, True),
    ],
)
def test_threads_sleep_where_others_need_their_cores(given: dict[str, str], sleeps: bool) -> None:
    environment = dict(given)
    choose_waiting(environment)
    assert environment == given | ({"OMP_WAIT_POLICY": "PASSIVE"} if sleeps else {})
    assert chosen() == ("by this program, as the load is 2.0 on 4 cores" if sleeps else None)


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_has_set_stays(name: str) -> None:
    environment = {name: "1"}
    choose_waiting(environment)
    assert environment == {name: "1"}
    assert chosen() is None


@pytest.mark.parametrize("load", [0.3, None])
def test_idle_machines_and_those_that_do_not_say_are_left_alone(
    load: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_load", lambda: load)
    environment: dict[str, str] = {}
    choose_waiting(environment)
    assert environment == {}


def test_once_torch_is_loaded_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    environment: dict[str, str] = {}
    choose_waiting(environment)
    assert environment == {}
