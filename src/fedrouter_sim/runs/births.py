"""Which tasks were born in a run and which went to sleep, as its stages have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from fedrouter_sim.simulation import Stage


@dataclass(frozen=True)
class Birth:
    """A task that was not there from the start."""

    task: str  # the name of its pool
    round: int  # the first in which it could train
    rows: int  # training rows that it had then, of all clients
    clients: tuple[int, ...]  # that held them


@dataclass(frozen=True)
class Asleep:
    """A task whose adapter is kept, and that no client has rows of any more."""

    task: str  # the name of its pool
    since: int  # the first round in which nobody had any


def births_of(stages: Sequence[Stage]) -> tuple[Birth, ...]:
    """Return the pools that came with a later stage than the first, in the order in which they came."""
    found = []
    for before, stage in pairwise(stages):
        known = {pool.name for pool in before.plan.pools}
        for pool in stage.plan.pools:
            if pool.name not in known:
                groups = [group for group in stage.plan.groups if group.pool == pool.name]
                clients = tuple(dict.fromkeys(group.client for group in groups))
                found.append(Birth(pool.name, stage.begins, sum(len(group.examples) for group in groups), clients))
    return tuple(found)


def asleep_after(stages: Sequence[Stage]) -> tuple[Asleep, ...]:
    """Return the pools without groups in the last stage, in its order, and since when they have had none."""
    awake = [{group.pool for group in stage.plan.groups} for stage in stages]
    found = []
    for pool in stages[-1].plan.pools:
        if pool.name not in awake[-1]:
            last = max((place for place, names in enumerate(awake) if pool.name in names), default=-1)
            found.append(Asleep(pool.name, stages[last + 1].begins))
    return tuple(found)


def said_of(births: Sequence[Birth], asleep: Sequence[Asleep]) -> list[str]:
    """Say in a sentence each what became of tasks."""
    said = [
        f"{one.task} was born in round {one.round}, of {one.rows} rows of {len(one.clients)} "
        f"client{'s' * (len(one.clients) != 1)}"
        for one in births
    ]
    return said + [
        f"{one.task} sleeps since round {one.since}: no client has rows of it, and its adapter is kept"
        for one in asleep
    ]
