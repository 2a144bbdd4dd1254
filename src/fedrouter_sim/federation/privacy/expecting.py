"""What the round loop needs under differential privacy: noised means, and how many clients they are means over."""

from collections.abc import Mapping

from fedrouter_sim.federation.federation import Federation
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.privacy import UPDATES
from fedrouter_sim.federation.privacy.summing import NoisedMeans
from fedrouter_sim.routing import task_name


def noised_means(federation: Federation) -> NoisedMeans | None:
    """Return what aggregates the shared pools of a federation under differential privacy; None without."""
    if federation.guard is None:
        return None
    budget = federation.guard.budget
    release = budget.release(UPDATES)
    noise = 0.0 if release is None else release.noise_multiplier  # then there is no shared pool
    return NoisedMeans(budget.clip, noise, federation.config.seed)


def expected_clients(plan: Plan, participation: float) -> Mapping[str, float]:
    """Return how many clients are to be expected in a round of each shared pool of a plan.

    It goes by what is public. Where pools are tasks that local clusters were assigned to, that is the assignment: it
    follows from noised centroids, and counts clusters that have no rows as well.
    """
    members = public_members(plan)
    shared = [pool.name for pool in plan.pools if not pool.private]
    return {pool: participation * sum(pool in own for own in members) for pool in shared}


def public_members(plan: Plan) -> list[tuple[str, ...]]:
    """Return the shared pools that each client is known to be of, by what is public (see `expected_clients`), in the
    order of the plan's pools: sums over them have one order."""
    of_client: dict[int, set[str]] = {}
    if plan.archive is not None:
        of_client = {place: {task_name(task) for task in own} for place, own in enumerate(plan.archive.assignment)}
    else:
        for group in plan.groups:
            of_client.setdefault(group.client, set()).add(group.pool)
    shared = [pool.name for pool in plan.pools if not pool.private]
    return [tuple(name for name in shared if name in own) for own in of_client.values()]


def refused_with_privacy(method: str, why: str) -> str:
    """Say that a method cannot be had with differential privacy."""
    return (
        f"--dp-epsilon: --method {method} {why}, so its privacy cannot be accounted; take another or drop --dp-epsilon"
    )
