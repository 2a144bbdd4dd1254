"""What is run: adapters in so many upper layers, on some modules, with each seed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fedrouter_sim.bundled import SMOLLM2
from fedrouter_sim.config import RunConfig

LAYERS = (0, 10, 6)  # 0: all 30
TARGETS = {
    "q, v": ["q_proj", "v_proj"],
    "all linear": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
}
RATES = (1e-3, 2e-3, 5e-3, 1e-2)
STEPS = 10  # of a client in a round: 40 of all clients, 160 in a run
TUNED_LAYERS, TUNED_WITH = 10, 7
"""Layers, and the seed with which the learning rate of each choice of modules is chosen."""

SEEDS = (8, 9, 10)

COMMON: dict[str, Any] = {
    "model": SMOLLM2, "method": "fedrouter", "tasks": 4, "local_clusters": 2, "sharing": "none", "clients": 4,
    "split": "dual", "rounds": 4, "batch_size": 4, "examples_per_client": 200, "test_examples_per_client": 16,
    "max_tokens": 160, "dtype": "float32", "eval_every": 2, "lr_scaling": "none",
}  # fmt: skip
"""The federation of `shares/grid.py`, FedRouter in the paper's form, scored on validation rows every two rounds."""


@dataclass(frozen=True)
class Trial:
    """One run of the study."""

    layers: int
    targets: str  # one of TARGETS
    steps: int  # of a client in a round
    lr: float
    seed: int

    @property
    def key(self) -> tuple[int, str, int, float, int]:
        """What tells it from others."""
        return self.layers, self.targets, self.steps, self.lr, self.seed

    def config(self, data: str) -> RunConfig:
        """Return the settings; `data` names the rows."""
        own = {"lora_layers": self.layers, "local_steps": self.steps, "lr": self.lr, "seed": self.seed, "data": data}
        return RunConfig.build(COMMON, own, {"lora_targets": TARGETS[self.targets]})


def tuning() -> Iterator[Trial]:
    """Yield the runs by which learning rates are chosen."""
    for targets in TARGETS:
        for lr in RATES:
            yield Trial(TUNED_LAYERS, targets, STEPS, lr, TUNED_WITH)


def compared(rates: Mapping[str, float], seeds: Sequence[int] = SEEDS) -> Iterator[Trial]:
    """Yield the runs that are compared, all of one seed before the next; `rates` are those of the modules."""
    for seed in seeds:
        for layers in LAYERS:
            for targets, lr in rates.items():
                yield Trial(layers, targets, STEPS, lr, seed)
