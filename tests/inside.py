"""What tests see of a federation that its methods do not: the clients themselves."""

from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.calibrating import AskReach
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.workers import InProcess


def clients_of(federation: Federation) -> list[Client]:
    """Return the clients in this process, in client order."""
    workers = federation.workers
    assert isinstance(workers, InProcess)
    return list(workers._clients.values())


def backbone_of(federation: Federation) -> Backbone:
    """Return the one backbone that they share."""
    return clients_of(federation)[0]._backbone


def instructions_of(examples: Iterable[Example]) -> tuple[str, ...]:
    """Return what a method is told of test samples."""
    return tuple(example.instruction for example in examples)


def reachable(start: Any) -> Iterator[Any]:
    """Yield all that code can get at from an object: fields, what containers hold, and what functions close over."""
    seen: dict[int, Any] = {}
    todo = [start]
    while todo:
        found = todo.pop()
        if id(found) in seen or isinstance(found, type | ModuleType):
            continue
        seen[id(found)] = found
        yield found
        if isinstance(found, Mapping):
            todo += [*found.keys(), *found.values()]
        elif isinstance(found, tuple | list | set | frozenset):
            todo += found
        todo += [cell.cell_contents for cell in getattr(found, "__closure__", None) or ()]
        todo += [getattr(found, name) for name in ("__self__", "func", "args") if hasattr(found, name)]
        todo += getattr(found, "__dict__", {}).values()
        slots = [name for kind in type(found).__mro__ for name in getattr(kind, "__slots__", ())]
        todo += [getattr(found, name) for name in slots if hasattr(found, name)]


def calibration_traffic(federation: Federation, plan: Plan) -> tuple[int, int]:
    """Return the bytes that calibrating a plan's router takes, up and down."""
    assert plan.router is not None and plan.archive is not None
    tasks = {
        message.client: np.asarray(own)[plan.local_clusters[message.client]]
        for message, own in zip(plan.archive.clients, plan.archive.assignment, strict=True)
    }
    question = AskReach(plan.router, tasks)
    answers = [question.answer(client) for client in clients_of(federation)]
    return sum(answer.nbytes for answer in answers), len(answers) * question.nbytes
