"""Several adapters in one LoRA slot, whose outputs are mixed with weights of each sample's own.

K adapters of rank r side by side are one adapter of rank K r: its A stacks theirs, its B sets theirs side by side, and
a sample's weights scale the r-wide blocks between the two. So each sample gets sum_k w_k B_k A_k x, exactly, in a batch
of samples with different weights.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from numpy.typing import NDArray
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from fedrouter_sim.adapters.state import Adapter


@dataclass(frozen=True)
class Mixture:
    """Adapters and, for each of n samples, their weights (n, K)."""

    adapters: tuple[Adapter, ...]
    weights: NDArray[Any]


class MixtureSlot:
    """A second LoRA slot of a PEFT model, for K adapters of the first slot's kind; silent while it is not in use."""

    def __init__(self, peft_model: Any, lora: LoraConfig, adapters: int) -> None:
        self._model = peft_model
        self._name = f"mixture_{adapters}"
        self._weights: Tensor | None = None  # (B, K r) of the batch at hand
        self._rank = lora.r
        # PEFT scales by alpha / rank, which must stay that of one adapter.
        # Nor may it drop out: PEFT would add the dropout in training mode, and nothing is trained here.
        alpha = adapters * lora.lora_alpha
        wide = replace(lora, r=adapters * lora.r, lora_alpha=alpha, lora_dropout=0.0, inference_mode=True)
        with torch.random.fork_rng(devices=[]):
            peft_model.add_adapter(self._name, wide)
        layers = [(name, module) for name, module in peft_model.named_modules() if isinstance(module, LoraLayer)]
        self._factors = {
            f"{name}.{factor}.weight": getattr(module, factor)[self._name].weight
            for name, module in layers
            for factor in ("lora_A", "lora_B")
        }
        for _, module in layers:
            module.lora_A[self._name].register_forward_hook(self._scale)
        peft_model.set_adapter("default")

    @contextlib.contextmanager
    def using(self, adapters: Sequence[Adapter]) -> Iterator[None]:
        """Answer with these adapters; set the weights of each batch by `weigh`."""
        with torch.no_grad():
            for key, parameter in self._factors.items():
                stacked = torch.cat([adapter[key] for adapter in adapters], dim=0 if "lora_A" in key else 1)
                parameter.copy_(stacked)
        self._model.set_adapter(self._name)
        try:
            yield
        finally:
            self._model.set_adapter("default")
            self._weights = None

    def weigh(self, weights: NDArray[Any]) -> None:
        """Set the weights (B, K) of the next batch."""
        device = next(iter(self._factors.values())).device
        self._weights = torch.as_tensor(weights, dtype=torch.float32, device=device).repeat_interleave(
            self._rank, dim=1
        )

    def _scale(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        if self._weights is None:
            raise RuntimeError("a mixture answers only with weights")
        return output * self._weights[:, None, :]
