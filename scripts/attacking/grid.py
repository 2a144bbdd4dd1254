"""What is run: each attack, against each answer to it, at each share of attackers, with each seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config_words import NO_ATTACK

SEEDS = (111, 222, 333)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4)
UPDATES, CLUSTERS = PARTS = ("updates", "clusters")
ON_UPDATES = ("sign-flip", "noise", "scale", "label-flip", "backdoor")
RULES = ("mean", "median", "trimmed-mean", "krum", "geometric-median")
ROBUST = 0.4  # share of the local clusters that may be set aside: as many attackers as the study has

COMMON: dict[str, Any] = {
    "data": "multitask", "clients": 40, "split": "dual", "examples_per_client": 30, "max_tokens": 128,
    "dtype": "float32", "rounds": 3, "local_steps": 2, "batch_size": 8, "lr": 3e-2, "tasks": 4,
}  # fmt: skip
"""40 clients of two of four tasks each; 240 optimizer steps a run."""

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "centroid-shift, 4 tasks told": ("centroid-shift", {}),
    "centroid-shift, tasks auto": ("centroid-shift", {"tasks": "auto"}),
    "sketch-forgery, tasks auto": ("sketch-forgery", {"tasks": "auto"}),
}
"""Attacks on clustering, and the settings under which tasks are found."""


@dataclass(frozen=True)
class Trial:
    """One run of the study."""

    part: str  # UPDATES or CLUSTERS
    attack: str  # as its table calls it
    answer: str  # the aggregation rule, or whether clustering is robust
    share: float  # of attackers
    seed: int

    @property
    def key(self) -> tuple[str, str, str, float, int]:
        """What tells it from others."""
        return self.part, self.attack, self.answer, self.share, self.seed

    @property
    def config(self) -> RunConfig:
        """The settings. The rules are told the share of attackers: what is assumed is right."""
        given: dict[str, Any] = {"seed": self.seed, "attackers": self.share}
        if self.part == CLUSTERS:
            attack, settings = WAYS[self.attack]
            given |= settings | {"robust_clustering": ROBUST if self.answer == "robust" else 0.0}
        else:
            attack = self.attack
            options = {"krum": f"attackers={self.share}", "trimmed-mean": f"trim={max(self.share, 0.1)}"}
            given |= {"aggregation": self.answer}
            given |= {"option": (options[self.answer],)} if self.answer in options else {}
        return RunConfig.build(COMMON, given, {"attack": attack if self.share else NO_ATTACK})


def trials(part: str, seeds: Sequence[int] = SEEDS) -> Iterator[Trial]:
    """Yield the runs of a part, all of one seed before the next. Without attackers all attacks are the same run: it
    stands under the first."""
    attacks, answers = (ON_UPDATES, RULES) if part == UPDATES else (tuple(WAYS), ("none", "robust"))
    for seed in seeds:
        for share in SHARES:
            for attack in attacks:
                for answer in answers:
                    if share or attack == attacks[0] or part == CLUSTERS:
                        yield Trial(part, attack, answer, share, seed)
