"""The server: holds one adapter per pool, checks and aggregates the updates of each pool, and measures their gap."""

from collections.abc import Callable, Collection, Mapping, Sequence

from fedrouter_sim.adapters.aggregation import add_to, aggregated
from fedrouter_sim.adapters.aggregation.gap import FactorGap, Probes
from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.aggregation.rule import Aggregation
from fedrouter_sim.adapters.sharing.rule import Memory
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.federation.door import Door, Refusal
from fedrouter_sim.federation.privacy.summing import NoisedMeans
from fedrouter_sim.federation.sharing import SharedFrom, TaskSharing
from fedrouter_sim.messages import Update


class Server:
    """Holds one adapter per pool. With running rules, such as the mean, memory grows with the pools, not the clients;
    rules that hold updates (`aggregation.holding`) keep one adapter for each update of the round.

    Args:
        initial: the adapter that pools start from.
        new_aggregation: makes the running aggregate of one pool in one round.
        seed: the run's; for the vectors by which `FactorGap` estimates.
        clip: see `Door`.
        noised: takes the place of the rule in shared pools, under differential privacy.
        sharing: shares among the pools that are tasks, after each was aggregated; None: every pool keeps to itself.
    """

    def __init__(
        self,
        initial: Adapter,
        new_aggregation: Callable[[], Aggregation],
        seed: int,
        clip: float = 0.0,
        noised: NoisedMeans | None = None,
        sharing: TaskSharing | None = None,
    ) -> None:
        self.adapters: dict[str, Adapter] = {}
        self.refused: list[Refusal] = []
        """The updates of the round that did not count, in client and group order."""
        self._initial = initial
        self._new_aggregation = new_aggregation
        self._probes = Probes(seed)
        self._running: dict[str, Aggregation] = {}
        self._gaps: dict[str, FactorGap] = {}
        self._clip = clip
        self._noised = noised
        self._sharing = sharing
        self.admit()

    def admit(
        self,
        declared: Mapping[int, int] | None = None,
        private: Collection[str] = (),
        expected: Mapping[str, float] | None = None,
        members: Sequence[Collection[str]] = (),
    ) -> None:
        """Say whose updates are to come.

        Args:
            declared: client -> how many training examples it said that it has; None: counts are not compared.
            private: the pools that one client has for itself. Its updates stay with it: they are not clipped, no gap
                is measured, and what it trained is kept as it is, whatever the rule.
            expected: shared pool -> how many clients are to be expected in a round, over which noised means are taken.
            members: of each client, the shared pools that it is known to be of, by which sharing goes under noise.
        """
        self._private = frozenset(private)
        if self._noised is not None:
            self._noised.expect(expected or {})
            if self._sharing is not None:
                self._sharing.expect(members)
        self._door, self._own_door = (Door(self._initial, clip, declared) for clip in (self._clip, 0.0))

    def open(self, parents: Mapping[str, str | None]) -> None:
        """Hold these pools from now on (name -> pool it starts from, or None), and drop all others.

        A pool that is there already keeps its adapter; a new one starts from its parent's, or from the initial one.
        """
        before = self.adapters
        self.adapters = {
            pool: before[pool] if pool in before else self._initial if parent is None else before[parent]
            for pool, parent in parents.items()
        }

    def receive(self, update: Update) -> Update | None:
        """Add an update to its pool, weighted by example count. Call in client and group order.

        Returns:
            The update as it counts, which may be clipped; None where it is refused, which `refused` then says.
        """
        door = self._own_door if update.pool in self._private else self._door
        try:
            counted = door.let_in(update, self.adapters[update.pool])
        except ValueError as error:
            self.refused.append(
                {"client": update.client, "group": update.group, "pool": update.pool, "reason": str(error)}
            )
            return None
        if counted.pool not in self._private:
            if counted.pool not in self._gaps:
                self._gaps[counted.pool] = FactorGap(self._probes)
            self._gaps[counted.pool].add(counted.adapter, counted.examples)
            start = self.adapters[counted.pool]
            if self._noised is not None:
                self._noised.add(counted, start)
                return counted
            if self._sharing is not None:
                self._sharing.add(counted.client, counted.pool, counted.examples, counted.adapter, start)
        if counted.pool not in self._running:
            self._running[counted.pool] = self._new_running(counted.pool)
        add_to(self._running[counted.pool], counted.adapter, counted.examples, f"pool {counted.pool}")
        return counted

    def _new_running(self, pool: str) -> Aggregation:
        return WeightedMean() if pool in self._private else self._new_aggregation()

    @property
    def memory(self) -> Memory:
        """What the sharing rule keeps between rounds; empty without one."""
        return {} if self._sharing is None else self._sharing.rule.memory

    @property
    def shared_from(self) -> SharedFrom | None:
        """What the sharing of the last aggregation went by; None where nothing was shared."""
        return None if self._sharing is None else self._sharing.shared_from

    def remember(self, memory: Memory) -> None:
        """Give the sharing rule back what it kept in an earlier process."""
        if self._sharing is not None:
            self._sharing.rule.memory = dict(memory)

    def begin(self, round_: int) -> None:
        """Begin a round, by whose number noise is keyed."""
        if self._noised is not None:
            self._noised.begin(round_)
        if self._sharing is not None:
            self._sharing.begin(round_)

    def skip(self) -> None:
        """Forget what the pools received in this round, but for those that one client has for itself."""
        self._running = {pool: running for pool, running in self._running.items() if pool in self._private}
        self._gaps = {}
        if self._sharing is not None:
            self._sharing.forget()

    def aggregate(self) -> dict[str, float | None]:
        """Replace each pool's adapter by the aggregate of what it received; one that received nothing, or nothing that
        counted, keeps its own. Then have task pools share.

        Returns:
            Of each shared pool that received something, sorted by name, the gap between the mean of its updates'
            products and the product of their mean factors (see `FactorGap`), whatever the rule. A pool that one client
            has for itself gets one update and has none.

        Raises:
            UserError: the rule refuses what it received, or fails; the message names the pool. Or the sharing rule
                fails.
        """
        noised = {} if self._noised is None else self._noised.result(self.adapters)
        # A new mapping: whoever still holds the round's starts keeps them.
        starts = self.adapters
        self.adapters = (
            starts
            | {pool: aggregated(running, self._initial, pool=f"pool {pool}") for pool, running in self._running.items()}
            | noised
        )
        if self._sharing is not None:
            shared = [pool for pool in starts if pool not in self._private]
            before, means = ({pool: adapters[pool] for pool in shared} for adapters in (starts, self.adapters))
            self.adapters |= self._sharing.result(before, means)
        gaps = {pool: self._gaps[pool].value() for pool in sorted(self._gaps)}
        self._running, self._gaps, self.refused = {}, {}, []
        return gaps
