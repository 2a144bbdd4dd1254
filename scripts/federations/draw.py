"""Drawing a random federation: which tasks there are, and which client holds rows of which."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedrouter_sim.examples.record import Example

CLIENTS = (3, 9)
TASKS_OF_A_CLIENT = (1, 2, 4)


@dataclass(frozen=True)
class Drawn:
    """A federation, whose clients' rows have their true tasks for measuring."""

    tasks: tuple[str, ...]
    clients: tuple[tuple[Example, ...], ...]

    @property
    def labels(self) -> list[str]:
        """The true task of every row, in client order."""
        return [example.task or "" for rows in self.clients for example in rows]


def draw(rows: Sequence[Example], per_task: int, most_tasks: int, generator: np.random.Generator) -> Drawn:
    """Draw 1 to `most_tasks` tasks, 3 to 9 clients, and 1, 2 or 4 tasks a client.

    Every task has a client; where the clients are too few for that, there are more of them. A client has `per_task`
    rows of each of its tasks, or as many as there are if all clients of a task share its rows evenly; no row occurs
    twice.

    Args:
        rows: with their tasks.
        per_task: rows of a client and task.
        most_tasks: in a federation, if there are as many.
        generator: of this federation.
    """
    by_task: dict[str, list[Example]] = {}
    for example in rows:
        by_task.setdefault(example.task or "", []).append(example)
    known = sorted(by_task)
    tasks = [
        known[i] for i in generator.permutation(len(known))[: generator.integers(1, min(most_tasks, len(known)) + 1)]
    ]
    each = min(int(generator.choice(TASKS_OF_A_CLIENT)), len(tasks))
    count = max(int(generator.integers(CLIENTS[0], CLIENTS[1] + 1)), -(-len(tasks) // each))
    held = _deal(tasks, count, each, generator)
    left = {task: [by_task[task][i] for i in generator.permutation(len(by_task[task]))] for task in tasks}
    share = {task: min(per_task, len(left[task]) // sum(task in own for own in held)) for task in tasks}
    clients = []
    for own in held:
        mine = [left[task].pop() for task in own for _ in range(share[task])]
        clients.append(tuple(mine[i] for i in generator.permutation(len(mine))))
    return Drawn(tuple(tasks), tuple(clients))


def _deal(tasks: Sequence[str], clients: int, each: int, generator: np.random.Generator) -> list[list[str]]:
    """Deal tasks to clients as a deck of cards that is shuffled anew whenever it runs out; no client gets one twice."""
    held: list[list[str]] = []
    deck: list[str] = []
    for _ in range(clients):
        own: list[str] = []
        while len(own) < each:
            card = next((task for task in deck if task not in own), None)
            if card is None:
                deck += [tasks[i] for i in generator.permutation(len(tasks))]
            else:
                deck.remove(card)
                own.append(card)
        held.append(own)
    return held
