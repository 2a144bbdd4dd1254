"""Rows of the server's own, which no client holds: of six tasks that have nothing to do with each other."""

from dataclasses import dataclass
from functools import cache

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.bundled import UNRELATED, bundled
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples.record import Example
from fedrouter_sim.federation.client import Client
from fedrouter_sim.federation.workers import InProcess, Workers
from fedrouter_sim.storage import read_json_lines

_DRAWS = 3
_FIELDS = {"instruction": str, "response": str, "task": str}


@dataclass(frozen=True)
class Unrelated:
    """A part of these rows, as clients of one task each, and how they are sketched."""

    workers: Workers
    start: Adapter  # at which
    seed: int  # of the projection


def unrelated(backbone: Backbone, config: RunConfig) -> list[Unrelated]:
    """Return these rows as clients in this process, in three parts with an adapter and a projection each.

    These are the same in all runs of a backbone, and so is what comes of them. One draw of them would move the mean
    affinity of unrelated tasks by 0.03 (standard deviation, the tiny GPT-2); the mean over three parts, with as many
    rows in all, varies by 0.01. Where any row does not fit into --max-tokens, there are none.
    """
    rows = _tasks()
    if any(backbone.encoder.flaws(own) for own in rows):
        return []
    parts = []
    for seed in range(_DRAWS):
        own = (of_task[seed::_DRAWS] for of_task in rows)
        clients = [Client(number, some, backbone, config) for number, some in enumerate(own)]
        parts.append(Unrelated(InProcess(clients), backbone.initial_adapter(seed), seed))
    return parts


@cache
def _tasks() -> tuple[tuple[Example, ...], ...]:
    found: dict[str, list[Example]] = {}
    for row in read_json_lines(bundled(UNRELATED), _FIELDS, "install the package anew"):
        found.setdefault(row["task"], []).append(Example(row["instruction"], row["response"]))
    return tuple(map(tuple, found.values()))
