"""What the benchmarks run on: the settings, the sizes, the backbone, the data, and a folder for what they write."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from fedrouter_sim.backbone.locating import resolve_model
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Shares
from fedrouter_sim.federation.client import Client
from fedrouter_sim.partition.run_data import load_data


@dataclass(frozen=True)
class Sizes:
    """How much the benchmarks do in one repeat."""

    repeats: int
    process_repeats: int  # of what starts a process of its own for each measurement
    batch_size: int  # rows of an optimizer step
    steps: int  # optimizer steps of a round against the usual recipe
    overhead_steps: int  # the same against the bare loops, which take the program's own batches
    check_steps: int  # steps over which losses are compared
    embedded: int  # texts of an embedding pass
    train_rows: int  # of the client that trains
    answers: int  # test samples
    answer_rows: int  # of each client that trains the answering adapters
    warm_rounds: int  # federated rounds that train the answering adapters
    warm_steps: int  # steps of a client in each
    points: int  # clustered and routed
    features: int
    clusters: int
    clients: tuple[int, ...]  # numbers of clients that are compared
    participants: int  # clients that train in a round, whatever their number
    client_rows: int  # training rows of each of many clients
    client_steps: int  # optimizer steps of a participant in a round
    client_rounds: int
    rows: int  # of the large data set
    linked_clients: int  # whose local clusters are linked to tasks
    most_clients: int  # of which one in a hundred trains in a round
    workers: tuple[int, ...]  # of Ray
    published_rows: int  # of each client of the published loop
    published_steps: int  # of each of its adapters
    waiting_steps: int  # under each way of threads to wait
    waiting_seconds: float  # that they may take


# A repeat on the tiny backbone takes seconds; on a real one, minutes, so it does less.
TINY = Sizes(
    repeats=5, process_repeats=5, batch_size=16, steps=10, overhead_steps=10, check_steps=5, train_rows=600,
    embedded=400, answers=200, answer_rows=60, warm_rounds=2, warm_steps=10, points=100_000, features=576,
    clusters=8, clients=(10, 100, 1000), participants=10, client_rows=12, client_steps=4, client_rounds=5,
    rows=1_000_000, linked_clients=10_000, most_clients=10_000, workers=(1, 2), published_rows=300,
    published_steps=10, waiting_steps=24, waiting_seconds=120,
)  # fmt: skip
REAL = replace(
    TINY,
    batch_size=4,
    overhead_steps=3,
    check_steps=2,
    embedded=48,
    answer_rows=20,
    warm_rounds=1,
    warm_steps=5,
    published_rows=20,
    published_steps=1,
)
QUICK = Sizes(
    repeats=2, process_repeats=1, batch_size=4, steps=2, overhead_steps=2, check_steps=2, train_rows=60, embedded=32,
    answers=10, answer_rows=20, warm_rounds=1, warm_steps=2, points=2_000, features=32,
    clusters=4, clients=(10, 20), participants=2, client_rows=8, client_steps=2, client_rounds=2, rows=5_000,
    linked_clients=20, most_clients=200, workers=(), published_rows=12, published_steps=1,
    waiting_steps=1, waiting_seconds=60,
)  # fmt: skip


@dataclass
class Setting:
    """The common ground of all benchmarks of one run of the script."""

    config: RunConfig
    sizes: Sizes
    scratch: Path
    _taken: int = field(default=0, init=False)

    @cached_property
    def folder(self) -> Path:
        """The backbone's folder."""
        return resolve_model(self.config.model)

    @cached_property
    def backbone(self) -> Backbone:
        """The program's backbone, loaded once for all benchmarks."""
        return Backbone(self.config)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the frozen base, which the baselines take as well unless they say otherwise."""
        return {"float32": torch.float32, "bfloat16": torch.bfloat16}[self.backbone.dtype]

    @property
    def lora(self) -> dict[str, Any]:
        """The arguments of PEFT's LoraConfig under the settings."""
        peft = self.backbone.peft_config
        return {key: peft[key] for key in ("r", "lora_alpha", "lora_dropout", "target_modules", "fan_in_fan_out")}

    @cached_property
    def shares(self) -> Shares:
        """The data."""
        return load_data(self.config)[0]

    def new_texts(self, count: int) -> list[str]:
        """Return instructions of training rows that nothing has asked for before, so that no cache knows them.

        Raises:
            UserError: there are no more.
        """
        rows = self.shares.train[self._taken : self._taken + count]
        self._taken += count
        if len(rows) < count:
            raise UserError(
                f"--data {self.config.data}: its {len(self.shares.train)} training rows are too few for the embedding "
                "passes; give more rows, or fewer benchmarks at a time with --only"
            )
        return [row.instruction for row in rows]

    def client(self, backbone: Any = None, **changes: Any) -> Client:
        """Return a client that holds rows of all tasks, with another backbone or other settings."""
        config = replace(self.config, **changes)
        return Client(0, self.shares.train[: self.sizes.train_rows], backbone or self.backbone, config)
