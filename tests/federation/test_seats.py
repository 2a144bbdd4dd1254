"""Works are done side by side by processes that stop with what they have. Ray is played by a few lines."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from fedrouter_sim.errors import MayPass, UserError
from fedrouter_sim.federation import seats as seats_module
from fedrouter_sim.federation.engine import Engine
from fedrouter_sim.federation.seats import Seat, Work, seats


class TaskError(Exception):
    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Gone(Exception):
    pass


@dataclass
class Ray:
    """A cluster that has done the last of what it is at, whenever it is asked; nothing where it is `slow`."""

    slow: bool = False
    heard: list[Any] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    killed: int = 0
    cards: float = 0
    exceptions: ClassVar[Any] = SimpleNamespace(
        RayTaskError=TaskError, RayActorError=Gone, WorkerCrashedError=Gone, OutOfMemoryError=Gone
    )

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 2.0, "GPU": self.cards}

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "0" * 56)

    def remote(self, kind: type) -> Any:
        def begun(work: Work) -> "Promise":
            self.heard.append(work)
            return Promise(work)

        def made(folder: str) -> Any:
            do, process = SimpleNamespace(remote=begun), SimpleNamespace(remote=os.getpid)
            return SimpleNamespace(do=do, process=process, own=object())

        def options(**given: Any) -> Any:
            self.options = given
            return SimpleNamespace(remote=made)

        return SimpleNamespace(options=options)

    def wait(self, promises: list[Any], num_returns: int = 1, timeout: float = 0) -> tuple[list[Any], list[Any]]:
        if num_returns > 1:
            self.slow = False
        done = [] if self.slow else promises[-num_returns:]
        return done, [one for one in promises if one not in done]

    def get(self, promise: Any, timeout: float | None = None) -> Any:
        return promise if isinstance(promise, int) else promise.work[0](*promise.work[1:])

    def kill(self, seat: Any) -> None:
        self.killed += 1


@dataclass(eq=False)
class Promise:
    work: Work


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Ray:
    there = Ray()

    @contextmanager
    def connected(engine: Engine) -> Iterator[Ray]:
        yield there

    placed = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: (node, soft))
    monkeypatch.setattr(seats_module, "connected", connected)
    monkeypatch.setattr(seats_module, "import_module", lambda name: placed)
    return there


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What a process is sent by the signal of seats."""
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    yield heard
    signal.signal(signal.SIGUSR1, before)


def test_no_more_works_are_handed_over_than_there_are_seats_and_all_are_done(ray: Ray) -> None:
    works = [(lambda: True,) for _ in range(5)]
    with seats(Engine(2), 5, "out") as done:
        found = []
        for number, refused in done(works):
            assert refused is None
            found.append(number)
            assert len(ray.heard) <= len(found) + 1
    assert sorted(found) == [0, 1, 2, 3, 4] and found[0] == 1
    assert ray.killed == 2 and ray.options["scheduling_strategy"] == ("0" * 56, False)  # none on another machine


def test_there_are_no_more_seats_than_works(ray: Ray) -> None:
    with seats(Engine(4), 1, "out") as done:
        assert list(done([(lambda: True,)])) == [(0, None)]
    assert ray.killed == 1


@pytest.mark.parametrize(("cards", "share"), [(0, 0), (1, 0.5), (2, 1)])
def test_seats_share_the_cards_that_there_are(ray: Ray, cards: int, share: float) -> None:
    """A process of Ray that asks for none sees none."""
    ray.cards = cards
    with seats(Engine(2), 5, "out") as done:
        assert len(list(done([(lambda: True,)]))) == 1
    assert ray.options["num_gpus"] == share


def test_an_interrupt_is_passed_on_and_waited_for(ray: Ray, told: list[int]) -> None:
    ray.slow = True
    asked = iter([(lambda: True,), (lambda: True,)])
    with pytest.raises(KeyboardInterrupt), seats(Engine(2), 2, "out") as done:
        ray.wait = interrupting(ray.wait)  # type: ignore[method-assign]
        list(done(asked))
    assert told == [signal.SIGUSR1] * 2 and ray.killed == 2


def interrupting(wait: Callable[..., Any]) -> Callable[..., Any]:
    """Return what is interrupted the first time."""
    calls: list[int] = []

    def heard(*given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(*given, **more)

    return heard


def failing(error: BaseException) -> Any:
    raise error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TaskError(MayPass("the disk is full")), r"^the disk is full$"),
        (Gone(), r"^--workers: a worker process died, .*--workers 1 goes on in out$"),
    ],
)
def test_what_goes_wrong_in_a_seat_is_one_line_and_ends_the_others(
    ray: Ray, told: list[int], error: Exception, expected: str
) -> None:
    with pytest.raises(UserError, match=expected), seats(Engine(2), 2, "out") as done:
        list(done([(lambda: True,), (failing, error)]))
    assert len(told) == 1 and ray.killed == 2


def test_a_work_that_is_refused_leaves_the_others_alone(ray: Ray, told: list[int]) -> None:
    refusal = UserError("--lr 0: too little")
    with seats(Engine(2), 3, "out") as done:
        found = dict(done([(lambda: True,), (failing, TaskError(refusal)), (lambda: True,)]))
    assert found == {0: None, 1: refusal, 2: None} and told == []


def test_a_work_that_was_interrupted_interrupts(ray: Ray, told: list[int]) -> None:
    with pytest.raises(KeyboardInterrupt), seats(Engine(1), 1, "out") as done:
        list(done([(lambda: False,)]))


def test_a_seat_interrupts_its_work_and_nothing_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    hooks: list[Callable[[], int]] = []
    monkeypatch.setattr(seats_module, "interrupt_again_where_swallowed", hooks.append)
    monkeypatch.chdir(tmp_path)
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGINT)]
    try:
        seat = Seat(str(tmp_path))
        assert seat.process() == os.getpid() and [by() for by in hooks] == [signal.SIGUSR1]
        reached: list[str] = []
        assert seat.do((reached.append, "done")) and reached == ["done"]
        assert not seat.do((os.kill, os.getpid(), signal.SIGUSR1))
        os.kill(os.getpid(), signal.SIGUSR1)  # it is idle, and what comes then does not begin
        assert not seat.do((reached.append, "again")) and reached == ["done"]
    finally:
        for number, handler in zip((signal.SIGUSR1, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
