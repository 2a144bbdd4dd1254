"""A crew hands out calls in order, and replaces who is lost. Ray is played by a few lines that do all at once."""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation import crew as crew_module
from fedrouter_sim.federation.crew import AHEAD, LOSSES, Call, Crew, crew_of
from fedrouter_sim.federation.engine import Engine

BACKBONE: Any = SimpleNamespace(digest="d", dtype="float32", device="cpu")
ROWS = {client: (Example(f"row of {client}", "response"),) for client in range(5)}


class ActorError(Exception):
    pass


class TaskError(Exception):
    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class OtherError(Exception):
    pass


EXCEPTIONS = SimpleNamespace(
    RayActorError=ActorError, ObjectLostError=OtherError, NodeDiedError=OtherError, WorkerCrashedError=OtherError,
    OutOfMemoryError=OtherError, RayTaskError=TaskError,
)  # fmt: skip


@dataclass
class Ray:
    """A cluster. `trouble` says what a worker raises for a call: (number of the actor, method, given) -> error."""

    cpus: float = 2
    cards: float = 0
    free: float = 0
    slow: int = 0  # looks before anything is done
    trouble: Callable[..., Exception | None] = lambda *told: None
    heard: list[tuple[Any, ...]] = field(default_factory=list)  # (actor, method, given)
    options: list[dict[str, Any]] = field(default_factory=list)  # of each actor
    killed: list[int] = field(default_factory=list)
    by_value: list[Any] = field(default_factory=list)  # modules whose definitions travel along
    exceptions: ClassVar[Any] = EXCEPTIONS

    @property
    def cloudpickle(self) -> Any:
        return SimpleNamespace(register_pickle_by_value=self.by_value.append)

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus, "GPU": self.cards}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": self.free}

    def remote(self, kind: type) -> Any:
        def options(**given: Any) -> Any:
            self.options.append(given)
            return SimpleNamespace(remote=lambda: Actor(self, len(self.options) - 1))

        return SimpleNamespace(options=options)

    def wait(self, promises: list[Any], timeout: float) -> tuple[list[Any], list[Any]]:
        self.slow -= 1
        return ([], promises) if self.slow >= 0 else (promises, [])

    def get(self, promise: Any) -> Any:
        if isinstance(promise, Exception):
            raise promise
        return promise

    def kill(self, actor: "Actor") -> None:
        self.killed.append(actor.number)


@dataclass
class Actor:
    ray: Ray
    number: int

    def __getattr__(self, method: str) -> Any:
        def told(*given: Any) -> Any:
            self.ray.heard.append((self.number, method, given))
            return self.ray.trouble(self.number, method, given) or (self.number, *given)

        return SimpleNamespace(remote=told)


def made(ray: Ray, workers: int | None = 2, device: str = "cpu") -> Crew:
    crew = Crew(ray, Engine(workers, "somewhere"), device)
    crew.open(RunConfig(), BACKBONE)
    return crew


def test_answers_come_in_the_order_of_the_calls_which_are_not_all_made_at_once() -> None:
    ray = Ray()
    crew, taken = made(ray), []

    def calls() -> Any:
        for number in range(100):
            taken.append(number)
            yield Call(number % 2, "train", (number,))

    found = crew.in_order(calls())
    assert next(found) == (0, 0) and len(taken) == 2 * AHEAD
    assert [answer for _, answer in found] == list(range(1, 100))
    assert [number for number, method, _ in ray.heard if method == "train"] == [0, 1] * 50


def test_clients_are_dealt_out_by_number_each_to_one_worker() -> None:
    ray = Ray()
    made(ray).hold(ROWS)
    held = [(number, list(given[1])) for number, method, given in ray.heard if method == "hold"]
    assert held == [(0, [0, 2, 4]), (1, [1, 3])]


def test_texts_to_be_embedded_are_dealt_out_some_lists_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def embedded(number: int, method: str, given: Any) -> Any:
        return [np.array([[float(text)] for text in texts]) for texts in given[0]] if method == "embed" else None

    monkeypatch.setattr(crew_module, "TOGETHER", 2)
    ray = Ray(trouble=embedded)
    found = list(made(ray).embed([[str(number), "7"] for number in range(5)]))
    assert [one.tolist() for one in found] == [[[number], [7]] for number in range(5)]
    assert [(number, len(given[0])) for number, method, given in ray.heard if method == "embed"] == [
        (0, 2), (1, 2), (0, 1),
    ]  # fmt: skip


def test_while_nothing_is_done_somebody_is_told() -> None:
    ray, waits = Ray(), []
    crew = made(ray)
    ray.slow = 3
    with crew.watched(lambda: waits.append(1)):
        assert list(crew.in_order([Call(0, "train", ())])) == [(0,)]
    ray.slow = 3
    assert list(crew.in_order([Call(0, "train", ())])) == [(0,)]
    assert len(waits) == 3


def test_who_is_lost_is_replaced_by_one_that_knows_the_same_and_does_the_same() -> None:
    ray = Ray(trouble=lambda number, method, given: ActorError("gone") if (number, given) == (1, ("b",)) else None)
    crew = made(ray)
    population = crew.hold(ROWS)
    crew.recall(population, {1: {0: "kept"}, 2: {0: "too"}})
    calls = [Call(worker, "train", (what,)) for worker, what in ((0, "a"), (1, "b"), (0, "c"), (1, "d"))]
    assert list(crew.in_order(calls)) == [(0, "a"), (2, "b"), (0, "c"), (2, "d")]
    assert ray.killed == [1]
    new = [(method, given) for number, method, given in ray.heard if number == 2]
    assert [method for method, _ in new] == ["open", "hold", "train", "train"]
    assert new[1][1] == (0, {1: ROWS[1], 3: ROWS[3]}, {1: {0: "kept"}})


@pytest.mark.parametrize(("free", "processors"), [(0, 0), (1, 1)])
def test_a_replacement_comes_even_where_no_processor_is_free(free: float, processors: int) -> None:
    ray = Ray(free=free, trouble=lambda number, *told: ActorError("gone") if (number, told[0]) == (0, "ask") else None)
    assert list(made(ray).in_order([Call(0, "ask", ())])) == [(2,)]
    assert [options["num_cpus"] for options in ray.options] == [1, 1, processors]


def test_a_call_that_every_worker_is_lost_with_is_given_up() -> None:
    ray = Ray(trouble=lambda number, method, given: ActorError("shot\nmore") if method == "ask" else None)
    with pytest.raises(UserError, match=rf"^--workers: a worker was lost {LOSSES + 1} times with the same .*\(shot\)"):
        list(made(ray).in_order([Call(0, "ask", ())]))


def test_a_worker_that_is_lost_while_it_gets_ready_is_replaced_as_well() -> None:
    ray = Ray(trouble=lambda number, *told: ActorError("gone") if number == 0 else None)
    assert list(made(ray).in_order([Call(0, "ask", ())])) == [(2,)]


def test_a_worker_that_cannot_get_ready_says_why() -> None:
    trouble = TaskError(UserError("--model x: not there"))
    ray = Ray(trouble=lambda number, method, given: trouble if method == "open" else None)
    with pytest.raises(UserError, match=r"^--model x: not there$"):
        list(made(ray).in_order([Call(0, "ask", ())]))


def test_a_worker_for_which_there_is_no_room_is_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_module, "_START", -1.0)
    with pytest.raises(UserError, match="--workers 2: a worker was not there after"):
        list(made(Ray(slow=9)).in_order([Call(0, "ask", ())]))


def test_there_are_no_more_workers_than_processors_and_by_default_as_many() -> None:
    assert made(Ray(cpus=3), workers=None).size == 3
    with pytest.raises(UserError, match=r"--workers 4: the cluster has 3 processors"):
        made(Ray(cpus=3), workers=4)


@pytest.mark.parametrize(("workers", "cards", "share"), [(2, 2, 1), (2, 4, 1), (3, 2, 0.5), (4, 1, 0.25), (8, 4, 0.5)])
def test_workers_share_the_cards(workers: int, cards: int, share: float) -> None:
    ray = Ray(cpus=8, cards=cards)
    made(ray, workers, "cuda")
    assert {options["num_gpus"] for options in ray.options} == {share}


def test_no_card_is_asked_for_where_none_is_needed_and_missed_where_one_is() -> None:
    ray = Ray(cards=1)
    made(ray)
    assert {(options["num_gpus"], options["scheduling_strategy"]) for options in ray.options} == {(0, "SPREAD")}
    with pytest.raises(UserError, match="--device cuda: the Ray cluster has no card"):
        made(Ray(), device="cuda")


def test_without_an_engine_there_is_no_crew() -> None:
    with crew_of(None, RunConfig()) as crew:
        assert crew is None


def test_who_is_dismissed_is_killed() -> None:
    ray = Ray()
    made(ray).dismiss()
    assert ray.killed == [0, 1]
