"""What is run: each attack, against each answer to it, at each share of attackers, with each seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import NONE

SEEDS = (111, 222, 333)
UPDATES, LONGER, CLUSTERS = PARTS = ("updates", "longer", "clusters")
SHARES = {UPDATES: (0.0, 0.1, 0.2, 0.3, 0.4), LONGER: (0.0, 0.2, 0.4), CLUSTERS: (0.0, 0.1, 0.2, 0.3, 0.4)}
ATTACKS = {
    UPDATES: ("sign-flip", "noise", "scale", "label-flip", "backdoor"),
    LONGER: ("sign-flip", "scale", "backdoor"),
}
ANSWERS = {
    UPDATES: ("mean", "median", "trimmed-mean", "krum", "geometric-median"),
    LONGER: ("mean", "median", "krum", "geometric-median"),
    CLUSTERS: ("none", "robust"),
}
ROBUST = 0.4  # share of the local clusters that may be set aside: as many attackers as the study has

COMMON: dict[str, Any] = {
    "data": "multitask", "clients": 40, "split": "dual", "examples_per_client": 30, "max_tokens": 128,
    "dtype": "float32", "rounds": 3, "local_steps": 2, "batch_size": 8, "lr": 3e-2, "lr_scaling": NONE,
    "tasks": 4, "sharing": "none",
}  # fmt: skip
"""40 clients of two of four tasks each; 240 optimizer steps a run, one of each group in a round. Tasks share
nothing, so that an attack on one says nothing of another."""

MORE: dict[str, Any] = {"rounds": 4, "local_steps": 8}
"""Of the longer runs: four steps of each group in a round. After a single step of Adam, all numbers of B are as large
as the learning rate."""

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "centroid-shift, 4 tasks told": ("centroid-shift", {}),
    "centroid-shift, tasks auto": ("centroid-shift", {"tasks": "auto"}),
    "sketch-forgery, tasks auto": ("sketch-forgery", {"tasks": "auto"}),
}
"""Attacks on clustering, and the settings under which tasks are found."""


@dataclass(frozen=True)
class Trial:
    """One run of the study."""

    part: str  # one of PARTS
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
        more = MORE if self.part == LONGER else {}
        return RunConfig.build(COMMON, more, given, {"attack": attack if self.share else NONE})


def attacks_of(part: str) -> tuple[str, ...]:
    """Return the attacks of a part, as its table calls them."""
    return ATTACKS.get(part, tuple(WAYS))


def trials(part: str, seeds: Sequence[int] = SEEDS) -> Iterator[Trial]:
    """Yield the runs of a part, all of one seed before the next. Without attackers all attacks are the same run: it
    stands under the first."""
    attacks = attacks_of(part)
    for seed in seeds:
        for share in SHARES[part]:
            for attack in attacks:
                for answer in ANSWERS[part]:
                    if share or attack == attacks[0] or part == CLUSTERS:
                        yield Trial(part, attack, answer, share, seed)
