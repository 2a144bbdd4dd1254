"""The server: holds one adapter per pool, and aggregates the updates of each pool."""

from collections.abc import Callable, Mapping

from fedrouter_sim.adapters.aggregation import aggregated
from fedrouter_sim.adapters.aggregation.rule import Aggregation
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.messages import Update


class Server:
    """Holds one adapter per pool. With running rules, such as the mean, memory grows with the pools, not the clients.

    Args:
        initial: the adapter that pools start from.
        new_aggregation: makes the running aggregate of one pool in one round.
    """

    def __init__(self, initial: Adapter, new_aggregation: Callable[[], Aggregation]) -> None:
        self.adapters: dict[str, Adapter] = {}
        self._initial = initial
        self._new_aggregation = new_aggregation
        self._running: dict[str, Aggregation] = {}

    def open(self, parents: Mapping[str, str | None]) -> None:
        """Hold these pools from now on (name -> pool it starts from, or None), and drop all others.

        A pool that is there already keeps its adapter; a new one starts from its parent's, or from the initial one.
        """
        before = self.adapters
        self.adapters = {
            pool: before[pool] if pool in before else self._initial if parent is None else before[parent]
            for pool, parent in parents.items()
        }

    def receive(self, update: Update) -> None:
        """Add an update to its pool, weighted by example count. Call in client and group order."""
        if update.pool not in self._running:
            self._running[update.pool] = self._new_aggregation()
        self._running[update.pool].add(update.adapter, update.examples)

    def aggregate(self) -> None:
        """Replace each pool's adapter by the aggregate of what it received; one that received nothing keeps its own."""
        # A new mapping: whoever still holds the round's starts keeps them.
        self.adapters = self.adapters | {
            pool: aggregated(running, self._initial) for pool, running in self._running.items()
        }
        self._running = {}
