"""A run's budget: every release that it will make, the noise of each, and what they add up to."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.privacy import CENTROIDS, SKETCHES, SUMS, UPDATES
from fedrouter_sim.federation.privacy.accounting import epsilon_of, least_scale
from fedrouter_sim.typed import Count

SHARES = {SUMS: 0.1, CENTROIDS: 0.2, SKETCHES: 0.2}
"""Of the budget, by kind, where a method has them sent; what is left is the updates'. Noise multipliers follow: at
equal sensitivities, n releases with noise s cost about what one with noise s / sqrt(n) costs."""


@dataclass(frozen=True)
class Release:
    """One kind of what leaves clients."""

    kind: str
    noise_multiplier: float  # standard deviation of the noise / the most that one client can change, in L2
    sample_rate: float  # with which a client is in it
    times: Count
    share: float  # of the budget


@dataclass(frozen=True)
class Account:
    """What a run spent; part of summary.json."""

    epsilon: float  # of all releases together, as the accountant counts them
    delta: float
    epsilon_given: float  # the most that was to be spent
    clip: float  # L2 norm that all of a client's updates of a round have together, at most
    releases: tuple[Release, ...]


@dataclass(frozen=True)
class Budget:
    """All releases of a run, with the noise that keeps them within the epsilon given."""

    epsilon: float
    delta: float
    clip: float
    releases: tuple[Release, ...]

    @classmethod
    def of(cls, config: RunConfig, kinds: Sequence[str]) -> "Budget":
        """Share the epsilon of the settings among kinds of releases, and find their noise.

        Args:
            config: the settings.
            kinds: that the method has sent, each once, but for updates: those in every round.

        Raises:
            UserError: Opacus is missing, or no noise is enough.
        """
        planning = [kind for kind in kinds if kind != UPDATES]
        shares = {kind: SHARES[kind] for kind in planning}
        rest = 1 - sum(shares.values())
        shares = shares | {UPDATES: rest} if UPDATES in kinds else {k: v / (1 - rest) for k, v in shares.items()}
        weights = {
            kind: (config.rounds**0.5 * config.participation if kind == UPDATES else 1.0) / share**0.5
            for kind, share in shares.items()
        }

        def releases(scale: float) -> tuple[Release, ...]:
            return tuple(
                Release(kind, scale * weights[kind], config.participation, config.rounds, share)
                if kind == UPDATES
                else Release(kind, scale * weights[kind], 1.0, 1, share)
                for kind, share in shares.items()
            )

        scale = least_scale(lambda one: _history(releases(one)), config.dp_epsilon, config.dp_delta) if shares else 1.0
        return cls(config.dp_epsilon, config.dp_delta, config.dp_clip, releases(scale))

    def release(self, kind: str) -> Release | None:
        """Return the release of a kind; None where the method has none."""
        return next((one for one in self.releases if one.kind == kind), None)

    def spent(self, rounds: int) -> Account:
        """Return the account after so many rounds. What planning may take counts in full."""
        done = tuple(
            Release(one.kind, one.noise_multiplier, one.sample_rate, rounds, one.share) if one.kind == UPDATES else one
            for one in self.releases
        )
        return Account(epsilon_of(_history(done), self.delta), self.delta, self.epsilon, self.clip, done)


def _history(releases: Sequence[Release]) -> list[tuple[float, float, int]]:
    return [(one.noise_multiplier, one.sample_rate, one.times) for one in releases]
