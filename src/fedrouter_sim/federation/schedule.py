"""Who takes part in a round, at which learning rate, and for how many steps."""

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import PER_GROUP
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Plan, Pool
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.rounding import largest_remainder


def participants(clients: int, participation: float) -> int:
    """Return how many of so many clients take part in a round: at least one."""
    return max(1, round(participation * clients))


def expected_share(clients: int, config: RunConfig) -> float:
    """Return the share of so many clients that is to be expected in a round."""
    if config.dp_epsilon:
        return config.participation  # each by itself: `poisson_participants`
    return participants(clients, config.participation) / clients


def sample_participants(clients: Sequence[int], participation: float, seed: int, round_: int) -> list[int]:
    """Sample a round's participants without replacement, at least one; returned in client order.

    Args:
        clients: the ids of all clients, in order.
        participation: the share of them that takes part.
        seed: the run's.
        round_: number of the round.
    """
    count = participants(len(clients), participation)
    chosen = numpy_generator(seed, "participants", round_).permutation(len(clients))[:count]
    return [clients[i] for i in sorted(chosen)]


def poisson_participants(clients: Sequence[int], participation: float, seed: int, round_: int) -> list[int]:
    """Return a round's participants, each of whom takes part on its own with a probability; it may be nobody.

    Privacy is amplified by such samples, and by none of a fixed size as the accountant counts. Arguments are those of
    `sample_participants`.
    """
    drawn = numpy_generator(seed, "Poisson participants", round_).random(len(clients))
    return [client for client, draw in zip(clients, drawn.tolist(), strict=True) if draw < participation]


def round_learning_rate(round_: int, config: RunConfig, share: float = 1.0) -> float:
    """Return the learning rate of a round; a plan that goes on beyond the run's rounds starts the schedule anew.

    Args:
        round_: its number.
        config: the settings.
        share: of the first round's rate that is taken, and not less than the lowest rate.
    """
    first = max(share * config.lr, config.lr_min)
    return learning_rate((round_ - 1) % config.rounds + 1, config.rounds, first, config.lr_min)


def shares_of_rate(pools: Sequence[Pool], members: Sequence[Collection[str]], clients: int) -> dict[str, float]:
    """Return, by pool of a plan, its share of `--lr` under `--lr-scaling clients`: sqrt(k / n), if k of n clients train
    it.

    The rate of Adam goes with the root of the batch ([Malladi 2022](https://arxiv.org/abs/2205.10287)), and the mean of
    k clients' updates is taken for one of a batch k times as large. A client's own pool takes all of it.

    Args:
        pools: of the plan.
        members: the shared pools of each client.
        clients: n.
    """
    counts = Counter(pool for own in members for pool in own)
    return {pool.name: 1.0 if pool.private else math.sqrt(counts[pool.name] / clients) for pool in pools}


def learning_rate(round_: int, rounds: int, highest: float, lowest: float) -> float:
    """Return lr_min + (lr_max - lr_min) / 2 * (1 + cos(pi (r - 1) / R)) for round r = 1..R."""
    return lowest + (highest - lowest) / 2 * (1 + math.cos(math.pi * (round_ - 1) / rounds))


def last_round(plan: Plan, config: RunConfig) -> int:
    """Return the last round of a plan; 0 if there is nothing to train."""
    return (plan.until or config.rounds) if plan.groups else 0


def share_steps(groups: Sequence[Group], local_steps: int, budget: str) -> list[int]:
    """Return the optimizer steps for a round of each of a client's groups.

    A group whose method fixed its steps takes those. Else under 'shared': `local_steps` in all, in proportion to
    examples by largest remainder, but at least 1 each (so a client with more groups than steps takes a step for each
    group). Under 'per-group': `local_steps` each.
    """
    fixed = [group.steps for group in groups if group.steps is not None]
    if fixed:
        if len(fixed) < len(groups):
            raise ValueError("a client's groups have either all or none of them a fixed number of steps")
        return fixed
    if budget == PER_GROUP or not groups:
        return [local_steps] * len(groups)
    sizes = np.array([len(group.examples) for group in groups], dtype=np.float64)
    free = local_steps - len(groups)
    if free <= 0:
        return [1] * len(groups)
    steps = largest_remainder(sizes, local_steps)
    while (steps == 0).any():
        # The least is 1: taken from whoever has most, which keeps the total.
        steps[int(np.argmin(steps))] += 1
        steps[int(np.argmax(steps))] -= 1
    return [int(n) for n in steps]


def client_steps(plan: Plan, client: int, config: RunConfig) -> list[int]:
    """Return the optimizer steps for a round of each group that a plan gives a client."""
    return share_steps(plan.groups_of(client), config.local_steps, config.budget)


def steps_of_round(plan: Plan, clients: Sequence[int], config: RunConfig) -> int:
    """Return the optimizer steps of a round of a plan; with partial participation, those to be expected."""
    steps = sum(sum(client_steps(plan, client, config)) for client in clients)
    return round(steps * expected_share(len(clients), config))
