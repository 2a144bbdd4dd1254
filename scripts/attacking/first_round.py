"""A backbone that trains a client's first round once: all rules and most attacks of a seed begin with the same one."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from federations.memory import RememberingBackbone

from fedrouter_sim.adapters.state import Adapter, adapter_digest
from fedrouter_sim.backbone.encoding import EncodedExample
from fedrouter_sim.backbone.training import OptimizerSettings, Proximal, TrainedAdapter
from fedrouter_sim.config import RunConfig


class FirstRoundBackbone(RememberingBackbone):
    """Remembers what was trained from initial adapters, whose B is 0; nothing of it is written.

    Args:
        config: names the backbone.
        file: where embeddings and sketches of rows are kept.
    """

    def __init__(self, config: RunConfig, file: Path) -> None:
        super().__init__(config, file)
        self._trained: dict[str, TrainedAdapter] = {}

    def train(
        self,
        start: Adapter,
        examples: Sequence[EncodedExample],
        batches: Sequence[Sequence[int]],
        optimizer: OptimizerSettings,
        dropout_seed: int,
        on_step: Callable[[float], None] = lambda loss: None,
        pull: Proximal | None = None,
    ) -> TrainedAdapter:
        """Train, or return what the same request got before; `on_step` is called for what is trained now."""
        if pull is not None or any(weight.any() for name, weight in start.items() if "lora_B" in name):
            return super().train(start, examples, batches, optimizer, dropout_seed, on_step, pull)
        rows = [[[example.prompt.ids, example.response] for example in (examples[i] for i in b)] for b in batches]
        request = f"{adapter_digest(start)} {rows} {optimizer} {dropout_seed}"
        key = hashlib.sha256(request.encode()).hexdigest()
        if key not in self._trained:
            self._trained[key] = super().train(start, examples, batches, optimizer, dropout_seed, on_step)
        found = self._trained[key]
        return replace(found, adapter={name: weight.clone() for name, weight in found.adapter.items()})
