"""Clients that fail in a round: they vanish before they send, or their updates come a round late."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrouter_sim.adapters.aggregation import AGGREGATIONS
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import COUNT, DROP
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.schedule import participants
from fedrouter_sim.randomness import numpy_generator


@dataclass(frozen=True)
class Absences:
    """The participants of a round that fail, in client order."""

    dropped: tuple[int, ...] = ()  # train, and send nothing
    late: tuple[int, ...] = ()  # train and send, and what they send comes in the next round


def draw_absences(chosen: Sequence[int], config: RunConfig, round_: int) -> Absences:
    """Draw who fails in a round, each client by a generator of its own; who vanishes is not late as well.

    Args:
        chosen: the participants.
        config: the settings.
        round_: number of the round.
    """
    dropped = tuple(c for c in chosen if _happens(config.client_dropout, config.seed, "client dropout", round_, c))
    late = (c for c in chosen if _happens(config.stragglers, config.seed, "stragglers", round_, c))
    return Absences(dropped, tuple(client for client in late if client not in dropped))


def check_reachable(plan: Plan, clients: int, config: RunConfig) -> None:
    """Refuse a number of clients that no round can have, and late updates that cannot be clipped.

    Raises:
        UserError: `min_participants` is above the number of clients that are sampled; or a late update would be clipped
            by its change of an adapter whose factors are of another basis by then.
    """
    if not (plan.groups and plan.shares):
        return
    rebased = not AGGREGATIONS.class_of(config.aggregation).keeps_basis
    if rebased and config.clip_update and config.stragglers and config.late == COUNT:
        raise UserError(
            f"--clip-update {config.clip_update:g}: updates that come late cannot be clipped under --aggregation "
            f"{config.aggregation}, which gives adapters other factors after each round; take --late {DROP}"
        )
    most = participants(clients, config.participation)
    if config.min_participants > most:
        raise UserError(
            f"--min-participants {config.min_participants}: a round has {most} clients at most, so that none would "
            "change anything; lower it, or raise --clients or --participation"
        )


def _happens(chance: float, seed: int, purpose: str, round_: int, client: int) -> bool:
    return chance > 0 and float(numpy_generator(seed, purpose, round_, client).random()) < chance
