"""The server: holds one adapter per pool, aggregates the updates of each pool, and measures their gap."""

from collections.abc import Callable, Mapping

from fedrouter_sim.adapters.aggregation import aggregated
from fedrouter_sim.adapters.aggregation.gap import FactorGap, Probes
from fedrouter_sim.adapters.aggregation.rule import Aggregation
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.messages import Update


class Server:
    """Holds one adapter per pool. With running rules, such as the mean, memory grows with the pools, not the clients.

    Args:
        initial: the adapter that pools start from.
        new_aggregation: makes the running aggregate of one pool in one round.
        seed: the run's; for the vectors by which `FactorGap` estimates.
    """

    def __init__(self, initial: Adapter, new_aggregation: Callable[[], Aggregation], seed: int) -> None:
        self.adapters: dict[str, Adapter] = {}
        self._initial = initial
        self._new_aggregation = new_aggregation
        self._probes = Probes(seed)
        self._running: dict[str, Aggregation] = {}
        self._gaps: dict[str, FactorGap] = {}

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
            self._gaps[update.pool] = FactorGap(self._probes)
        self._running[update.pool].add(update.adapter, update.examples)
        self._gaps[update.pool].add(update.adapter, update.examples)

    def aggregate(self) -> dict[str, float | None]:
        """Replace each pool's adapter by the aggregate of what it received; one that received nothing keeps its own.

        Returns:
            Of each pool that received something, sorted by name, the gap between the mean of its updates' products and
            the product of their mean factors (see `FactorGap`), whatever the rule.
        """
        # A new mapping: whoever still holds the round's starts keeps them.
        self.adapters = self.adapters | {
            pool: aggregated(running, self._initial) for pool, running in self._running.items()
        }
        gaps = {pool: self._gaps[pool].value() for pool in sorted(self._gaps)}
        self._running, self._gaps = {}, {}
        return gaps
