"""One client's training, on the program's side and on the baselines'."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from benchmarks import baselines
from benchmarks.measure import Figure
from benchmarks.setting import Setting
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.backbone.training import TrainedAdapter
from fedrouter_sim.federation.groups import whole_group
from fedrouter_sim.federation.questions import AskFacts

POOL = "global"
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2}
"""Difference up to which two losses count as equal, in nats a token, by the type of the backbone's weights."""

DrawnBatch = Sequence[EncodedExample]


@dataclass
class Listener:
    """Stands in for the backbone to hear which batches a client draws; trains nothing."""

    encoder: Any
    batches: Sequence[DrawnBatch] = ()

    def train(self, start: Any, examples: Any, batches: Any, *more: Any, **named: Any) -> TrainedAdapter:
        """Hear the batches."""
        self.batches = [[examples[i] for i in batch] for batch in batches]
        return TrainedAdapter(adapter=start, loss=0.0, tokens=0, steps=len(batches))


class Trainee:
    """A client with rows of all tasks, which trains one adapter on all of them."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.start = setting.backbone.initial_adapter(setting.config.seed)
        self.client = setting.client()
        self.group = whole_group(AskFacts().answer(self.client), POOL)
        self._listener = Listener(setting.backbone.encoder)
        self._heard = setting.client(self._listener)

    def train(self, steps: int, round_: int, client: Any = None) -> list[float]:
        """Train a round by the program; return the losses."""
        losses: list[float] = []
        trainee = client or self.client
        trainee.train(self.group, self.start, None, steps, self.setting.config.lr, round_, losses.append)
        return losses

    def batches(self, steps: int, round_: int) -> Sequence[DrawnBatch]:
        """Return the batches that the client draws for a round."""
        self.train(steps, round_, self._heard)
        return self._listener.batches

    def bare_model(self, dtype: torch.dtype) -> Any:
        """Return a PEFT model of the baselines' own, at the adapter that the client starts from."""
        return baselines.adapted(self.setting.folder, dtype, self.setting.lora, {POOL: self.start})

    def bare_train(
        self,
        model: Any,
        batches: Sequence[baselines.Batch],
        loss_of: Callable[[Any, baselines.Batch], torch.Tensor] = baselines.plain_loss,
    ) -> list[float]:
        """Train a round by a bare loop under the same settings; return the losses."""
        config = self.setting.config
        return baselines.train(model, batches, config.lr, config.weight_decay, config.clip, loss_of)

    def collated(self, batch: DrawnBatch) -> baselines.Batch:
        """Pad a batch as the baselines take it."""
        rows = [(example.prompt.ids, example.response) for example in batch]
        return baselines.collate(rows, self.setting.backbone.encoder.eos)

    def losses_agree(self, model: Any) -> Figure:
        """Train some steps by the program and by a bare loop, without dropout, and compare the losses.

        Args:
            model: at the adapter that the client starts from; it is left trained, and in training mode.
        """
        setting, steps = self.setting, self.setting.sizes.check_steps
        still = Backbone(replace(setting.config, lora_dropout=0.0))
        ours = self.train(steps, 1, setting.client(still, lora_dropout=0.0))
        theirs = self.bare_train(model.eval(), [self.collated(batch) for batch in self.batches(steps, 1)])
        model.train()
        difference = max(abs(one - other) for one, other in zip(ours, theirs, strict=True))
        return Figure(
            f"largest difference of losses over {steps} steps, nats a token", difference, most=TOLERANCE[setting.dtype]
        )
