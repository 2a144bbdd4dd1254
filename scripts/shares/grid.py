"""What is run: each way to share, and the methods beside it, on each split with each seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedrouter_sim.bundled import SMOLLM2
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.words import AUTO, NONE

EMBEDDED, REAL = PARTS = ("embedded", "real")

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    EMBEDDED: {
        "data": "multitask", "clients": 8, "rounds": 6, "local_steps": 8, "batch_size": 8, "lr": 2e-2,
        "lr_scaling": NONE, "test_examples_per_client": 40, "dtype": "float32",
    },
    REAL: {
        "model": SMOLLM2, "clients": 4, "rounds": 4, "local_steps": 10, "batch_size": 4, "lr": 5e-3,
        "lr_scaling": NONE, "examples_per_client": 200, "test_examples_per_client": 16, "max_tokens": 160,
        "dtype": "float32", "lora_layers": 10,
        "lora_targets": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    },
}  # fmt: skip
"""Those of `plans/discovery.toml`; and a small federation of a real model, all linear modules of its upper layers."""

SPLITS: Mapping[str, Sequence[str]] = {EMBEDDED: ("dual", "single", "all", "dirichlet"), REAL: ("dual",)}
"""The splits of a part, where none are named."""

OTHERS: Mapping[str, Mapping[str, Any]] = {method: {"method": method} for method in ("fedavg", "local", "clustered")}
"""Methods without task pools."""

RULES: Mapping[str, Mapping[str, Any]] = {
    "none": {"sharing": NONE},
    "affinity": {"sharing": "affinity"},
    "affinity, linear": {"sharing": "affinity", "option": ("power=1",)},
}
"""What task pools may share; each under the oracle's tasks and under those that FedRouter finds."""

WAYS: Mapping[str, Mapping[str, Any]] = {
    **OTHERS,
    **{
        f"{method} {rule}": {"method": method, **settings}
        for rule, settings in RULES.items()
        for method in ("oracle", "fedrouter")
    },
}
"""All that is compared, by its name in the tables."""

_TOLD_CLUSTERS = {"single": 1, "dual": 2}  # a client's tasks; four elsewhere


@dataclass(frozen=True)
class Trial:
    """One run of the study."""

    part: str  # EMBEDDED or REAL
    split: str
    way: str  # one of WAYS
    tasks: str  # 'told' or 'auto': whether their number is; only FedRouter and clustered go by it
    seed: int

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What tells it from others."""
        return self.part, self.split, self.way, self.tasks, self.seed

    def config(self, data: str | None) -> RunConfig:
        """Return the settings; `data` names the rows of the real part."""
        told = {"tasks": 4, "local_clusters": _TOLD_CLUSTERS.get(self.split, 4)}
        return RunConfig.build(
            SETTINGS[self.part],
            {"split": self.split, "seed": self.seed},
            {"data": data} if data else {},
            {"tasks": AUTO} if self.tasks == AUTO else told,
            WAYS[self.way],
        )


def trials(part: str, splits: Sequence[str], ways: Sequence[str], tasks: str, seeds: Sequence[int]) -> Iterator[Trial]:
    """Yield the runs of a part, all of one seed before the next."""
    for seed in seeds:
        for split in splits:
            for way in ways:
                yield Trial(part, split, way, tasks, seed)
