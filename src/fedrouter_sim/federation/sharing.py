"""Sharing at the server: what it notes of a round's updates for the rule, and the rule's result, checked."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fedrouter_sim.adapters.aggregation import AGGREGATIONS
from fedrouter_sim.adapters.sharing import find_sharing
from fedrouter_sim.adapters.sharing.rule import Memory, SharedRound, Sharing
from fedrouter_sim.adapters.state import Adapter, check_compatible, check_finite, check_types
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import NONE, PER_GROUP
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.tables import parse_options


@dataclass(frozen=True)
class SharedFrom:
    """What the sharing of a round went by, beside its updates; with these it can be done again."""

    round: int
    starts: Mapping[str, Adapter]  # task pool -> its adapter before the round, in the plan's order
    memory: Memory  # of the rule, before the round


class TaskSharing:
    """Has a rule share among the task pools of each round. Of single updates it keeps their example counts alone, so
    its memory grows with the clients by a few numbers each.

    Args:
        rule: the sharing rule.
        config: the settings. Where groups have a budget each, a client's changes are not summed. Where aggregation
            guards against single updates, no length of one is gone by, as one client could make it so large that the
            changes of all tasks would count as noise; and every update counts the same, whatever examples its client
            says that it stands for.
    """

    def __init__(self, rule: Sharing, config: RunConfig) -> None:
        self.rule = rule
        self._guarded = AGGREGATIONS.class_of(config.aggregation).guards
        self._summed = config.budget != PER_GROUP
        self.shared_from: SharedFrom | None = None
        """What the sharing of this round went by; None before it, and where nothing was shared."""
        self._rounds = config.rounds
        self._round = 0
        self._held: dict[int, dict[str, float]] = {}
        self._square_counts: dict[str, float] = {}  # sums over updates, by pool
        self._squares: dict[str, dict[str, float]] = {}  # the same, by pool and key
        self._public: Sequence[Collection[str]] | None = None

    def expect(self, members: Sequence[Collection[str]]) -> None:
        """Go by the pools that clients are known to be of, as nobody may learn who came in a round: that is so under
        differential privacy, where also no update is looked at by itself."""
        self._public = members

    def begin(self, round_: int) -> None:
        """Begin a round, of which nothing is there yet."""
        self._round, self._held, self._square_counts, self._squares = round_, {}, {}, {}
        self.shared_from = None

    def forget(self) -> None:
        """Forget what was received in this round."""
        self.begin(self._round)

    def add(self, client: int, pool: str, examples: int, adapter: Adapter, start: Adapter) -> None:
        """Note an update that counts.

        Args:
            client: whose it is.
            pool: what it is for.
            examples: by which it weighs.
            adapter: as it counts.
            start: its pool's adapter at the start of the round.
        """
        own = self._held.setdefault(client, {})
        own[pool] = own.get(pool, 0.0) + (1 if self._guarded else examples)
        if self._guarded:
            return
        self._square_counts[pool] = self._square_counts.get(pool, 0.0) + examples * examples
        sums = self._squares.setdefault(pool, {})
        for key, value in adapter.items():
            length = float((value.double() - start[key].double()).square().sum())
            sums[key] = sums.get(key, 0.0) + examples * length

    def result(self, starts: Mapping[str, Adapter], means: Mapping[str, Adapter]) -> Mapping[str, Adapter]:
        """Return what the task pools become; the means, where nothing was received.

        Args:
            starts: pool -> its adapter before the round.
            means: pool -> what aggregation made of it.

        Raises:
            UserError: the rule fails, or gives other pools or no usable adapter.
        """
        held: list[dict[str, float]] = [{**own} for own in self._held.values()]
        if self._public is not None:
            held = [dict.fromkeys(own, 1.0) for own in self._public if own]
        if not held:
            return means
        counts: dict[str, float] = {}
        for own in held:
            for pool, examples in own.items():
                counts[pool] = counts.get(pool, 0.0) + examples
        squares = {
            pool: {key: value / counts[pool] for key, value in sums.items()} for pool, sums in self._squares.items()
        }
        known = (squares, self._square_counts)
        round_ = SharedRound(self._round, self._rounds, starts, means, held, *known, summed=self._summed)
        before = self.rule.memory
        try:
            found = self.rule.shared(round_)
            if found.keys() != means.keys():
                raise ValueError(f"it gave the pools {sorted(found)}, not {sorted(means)}")
            for pool, mean in means.items():
                check_compatible(mean, found[pool])
                check_finite(found[pool])
                check_types(mean, found[pool])
        except UserError:
            raise
        except Exception as error:  # the rule may be the user's own
            raise UserError(
                f"--sharing: {type(self.rule).__name__} gave no usable adapters ({type(error).__name__}: "
                f"{first_line(error)})"
            ) from error
        self.shared_from = SharedFrom(self._round, starts, before)
        return {pool: found[pool] for pool in means}


def task_sharing(config: RunConfig, uses: Collection[str]) -> TaskSharing | None:
    """Return what shares among the task pools of a run; None where nothing does, or aggregation keeps no basis.

    Args:
        config: the settings.
        uses: the settings that have an effect with the run's method, which says by them whether its pools are tasks.

    Raises:
        UserError: there is no such rule.
    """
    if config.sharing == NONE or "sharing" not in uses or not AGGREGATIONS.class_of(config.aggregation).keeps_basis:
        return None
    return TaskSharing(find_sharing(config.sharing, parse_options(config.option)), config)
