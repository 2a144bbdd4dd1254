"""Workers of Ray from the outside: they are started, told what to do in a fixed order, and replaced when lost."""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from time import monotonic
from typing import Any

import numpy as np

from fedrouter_sim.arrays import Floats
from fedrouter_sim.backbone.asking import Asking, Replies
from fedrouter_sim.backbone.devices import resolve_device
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import MayPass, UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.engine import Engine, connected, share_of_card
from fedrouter_sim.federation.hand import Hand, Means, Sketches
from fedrouter_sim.tables import OWN_MODULES
from fedrouter_sim.threads import torch_threads

AHEAD = 16
"""Calls a worker, on average, that are handed over before their answers are wanted: what piles up where one is slow is
bounded by it."""

TOGETHER = 64
"""Lists of texts to be embedded that a call has: one list may be one text, which is less work than a call."""

LOSSES = 3
"""So many times a call is tried again with another worker, until it seems to be what kills them."""

_LOOK = 0.2  # seconds between two looks at whether the user wants to stop
_START = 600.0  # seconds within which a worker has to be there: it imports torch and loads a backbone


@dataclass(frozen=True)
class Call:
    """Something that a worker is to do: a method of `Hand`."""

    worker: int
    method: str
    given: tuple[Any, ...]


@dataclass
class Population:
    """Clients, dealt out among the workers by their numbers; and what they keep, should a worker be lost."""

    number: int
    rows: Mapping[int, Sequence[Example]]
    sketches: dict[int, dict[int, Any]] = field(default_factory=dict)


@dataclass
class _Sent:
    call: Call
    answer: Any  # Ray's promise of it
    losses: int = 0


class _Lost(Exception):
    """A worker is gone, and what it had to do is not done."""


class Crew:
    """Workers of Ray that do what they are told in order. One that is lost is replaced by one that knows the same."""

    def __init__(self, ray: Any, engine: Engine, device: str) -> None:
        """Have workers started; nothing waits until they are.

        Args:
            ray: the package, connected to a cluster.
            engine: how many workers.
            device: where backbones compute, 'cpu' or 'cuda'.

        Raises:
            UserError: the cluster has no room for so many.
        """
        self._ray = ray
        self.engine = engine
        self._waited: Callable[[], None] = lambda: None
        self._told: tuple[RunConfig, Means] | None = None
        self._populations: list[Population] = []
        self._workers: dict[int, Any] = {}
        self._opening: dict[int, Any] = {}  # promises that backbones are loaded
        there = ray.cluster_resources()
        processors, cards = int(there.get("CPU", 0)), int(there.get("GPU", 0))
        self.size = engine.workers or max(1, processors)
        if self.size > processors:
            raise UserError(f"--workers {self.size}: the cluster has {processors} processors; give at most as many")
        if device == "cuda" and not cards:
            raise UserError("--device cuda: the Ray cluster has no card; start its nodes with --num-gpus, or drop it")
        self._cards = share_of_card(self.size, cards if device == "cuda" else 0)
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.OutOfMemoryError,
        )
        self._hand = ray.remote(Hand)
        for worker in range(self.size):
            self._start(worker, processors=1)

    def open(self, config: RunConfig, backbone: Backbone) -> None:
        """Have every worker ready for a run, with the backbone that this process has."""
        # Files that the user named as FILE.py:CLASS lie on this machine alone: what they define travels along.
        for name, module in list(sys.modules.items()):
            if name.startswith(OWN_MODULES):
                self._ray.cloudpickle.register_pickle_by_value(module)
        told = replace(config, dtype=backbone.dtype, device=backbone.device)
        self._told, self._populations = (told, Means.of(backbone)), []
        for worker in self._workers:
            self._open(worker)

    def hold(self, rows: Mapping[int, Sequence[Example]]) -> Population:
        """Deal out clients by their numbers, with their rows."""
        population = Population(len(self._populations), rows)
        self._populations.append(population)
        for worker in self._workers:
            self._hold(worker, population)
        return population

    def worker_of(self, client: int) -> int:
        """Return which worker holds a client."""
        return client % self.size

    def put(self, value: Any) -> Any:
        """Return a reference to a value that is sent to every machine at most once, and stands for it in calls."""
        return self._ray.put(value)

    @contextmanager
    def watched(self, waited: Callable[[], None]) -> Iterator[None]:
        """Have something called every now and then while nothing is done, whatever is waited for."""
        before, self._waited = self._waited, waited
        try:
            yield
        finally:
            self._waited = before

    def in_order(self, calls: Iterable[Call]) -> Iterator[Any]:
        """Yield what calls return, in the order of the calls, whichever is done first.

        Args:
            calls: of any workers; those of one worker are done one after the other.

        Raises:
            UserError: as the call itself; or workers are lost with it again and again.
        """
        waiting, sent = iter(calls), deque[_Sent]()
        while True:
            for call in islice(waiting, AHEAD * self.size - len(sent)):
                sent.append(self._send(call))
            if not sent:
                return
            found = self._answer(sent)
            sent.popleft()
            yield found

    def answer(self, asked: Iterable[Asking]) -> Iterator[Replies]:
        """Deal out texts to be answered, in turn, and yield the replies in their order."""
        return self.in_order(Call(number % self.size, "answer", (one,)) for number, one in enumerate(asked))

    def embed(self, lists: Iterable[Sequence[str]]) -> Iterator[Floats]:
        """Deal out lists of texts to be embedded, some at a time, and yield what they become (n, d) in their order."""
        parts = iter(lists)
        several = iter(lambda: list(islice(parts, TOGETHER)), [])
        calls = (Call(number % self.size, "embed", (part,)) for number, part in enumerate(several))
        for part in self.in_order(calls):
            yield from map(np.array, part)  # Ray's memory is shared, and not kept longer than needed

    def recall(self, population: Population, sketches: Mapping[int, Sketches]) -> None:
        """Let clients have what they kept in an earlier process."""
        population.sketches |= {number: dict(own) for number, own in sketches.items()}
        shares = [self._share(worker, sketches) for worker in self._workers]
        calls = [Call(worker, "recall", (population.number, own)) for worker, own in enumerate(shares) if own]
        for _ in self.in_order(calls):
            pass

    def processes(self) -> list[int]:
        """Return the workers' process ids, as soon as they are there, on whatever machine they are."""
        return list(self.in_order(Call(worker, "process", ()) for worker in range(self.size)))

    def dismiss(self) -> None:
        """Let all workers go, whatever they are at."""
        for worker in self._workers.values():
            with suppress(Exception):  # it may have gone, or the cluster
                self._ray.kill(worker)
        self._workers = {}

    def _start(self, worker: int, processors: int) -> None:
        options = {"num_cpus": processors, "num_gpus": self._cards, "scheduling_strategy": "SPREAD"}
        self._workers[worker] = self._hand.options(**options, max_restarts=0, max_task_retries=0).remote()

    def _open(self, worker: int) -> None:
        assert self._told is not None, "open() comes first"
        self._opening[worker] = self._workers[worker].open.remote(*self._told)

    def _hold(self, worker: int, population: Population) -> None:
        rows = self._share(worker, population.rows)
        if rows:
            kept = self._share(worker, population.sketches)
            self._workers[worker].hold.remote(population.number, rows, kept)

    def _share(self, worker: int, by_client: Mapping[int, Any]) -> dict[int, Any]:
        return {client: own for client, own in by_client.items() if self.worker_of(client) == worker}

    def _send(self, call: Call, losses: int = 0) -> _Sent:
        if (ready := self._opening.pop(call.worker, None)) is not None:
            with suppress(_Lost):  # the call finds that out as well
                self._wait(ready, _START)
                self._value(ready)
        return _Sent(call, getattr(self._workers[call.worker], call.method).remote(*call.given), losses)

    def _answer(self, sent: "deque[_Sent]") -> Any:
        """Return what the first of calls returns; if its worker is lost, have another do all that was sent to it."""
        while True:
            first = sent[0]
            try:
                self._wait(first.answer)
                return self._value(first.answer)
            except _Lost as lost:
                first.losses += 1
                if first.losses > LOSSES:
                    raise MayPass(
                        f"--workers: a worker was lost {first.losses} times with the same work ({lost}); give fewer "
                        "workers if it was for want of memory"
                    ) from lost.__cause__
                self._replace(first.call.worker)
                for place, one in enumerate(sent):
                    if one.call.worker == first.call.worker:
                        sent[place] = self._send(one.call, one.losses)

    def _replace(self, worker: int) -> None:
        """Start another worker in the place of one that is lost, and let it know what that knew."""
        with suppress(Exception):  # mostly it is gone
            self._ray.kill(self._workers[worker])
        # With a machine its processors are lost, and those left may all be taken: better two workers on one than none.
        free = self._ray.available_resources().get("CPU", 0) >= 1
        self._start(worker, processors=1 if free else 0)
        self._open(worker)
        for population in self._populations:
            self._hold(worker, population)

    def _wait(self, promise: Any, most: float | None = None) -> None:
        until = None if most is None else monotonic() + most
        while not self._ray.wait([promise], timeout=_LOOK)[0]:
            self._waited()
            if until is not None and monotonic() > until:
                raise MayPass(
                    f"--workers {self.size}: a worker was not there after {most:.0f} s; give as many as the cluster "
                    "has processors (and cards) free"
                )

    def _value(self, promise: Any) -> Any:
        """Return what was promised.

        Raises:
            UserError: as the worker raised it, and any other error as well.
        """
        try:
            return self._ray.get(promise)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            raise error.cause from error  # whose text has the traceback in the worker
        except self._lost as error:
            raise _Lost(_reason(error)) from error


_there: dict[Engine, Crew] = {}
"""The workers that this process has."""


@contextmanager
def crew_of(engine: Engine | None, config: RunConfig) -> Iterator[Crew | None]:
    """Yield the workers of a run, and let them go at its end however that comes; None without an engine.

    While they are there this process computes in one thread, as each of them does. Where they are there already, for
    several runs, one run takes them as they are.

    Raises:
        UserError: the cluster cannot be reached, or has no room.
    """
    if engine is None or engine in _there:
        yield None if engine is None else _there[engine]
        return
    device = resolve_device(config.device).type
    with connected(engine) as ray, torch_threads(1):
        crew = None
        try:
            crew = _there[engine] = Crew(ray, engine, device)
            yield crew
        finally:
            _there.pop(engine, None)
            if crew is not None:
                crew.dismiss()


def _reason(error: BaseException) -> str:
    """Return the line that says why a worker was lost: the last one of a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return (lines[-1] if "Traceback" in str(error) or "ray::" in str(error) else lines[0])[:300]
