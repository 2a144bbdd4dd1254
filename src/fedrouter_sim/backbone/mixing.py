"""Several adapters in one LoRA slot, whose outputs are mixed with weights of each sample's, or each token's, own.

K adapters of rank r side by side are one adapter of rank K r: its A stacks theirs, its B sets theirs side by side, and
weights scale the r-wide blocks between the two. So each sample gets sum_k w_k B_k A_k x, exactly, in a batch of samples
with different weights. Where weights go by token, w_k depends on x itself, in every module.
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

from fedrouter_sim.adapters.by_token import ByToken, input_direction
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.adapters.together import ByAnswer, Together


@dataclass(frozen=True)
class Mixture:
    """Adapters and, for each of n samples, their weights (n, K); or how they are weighed for each token."""

    adapters: tuple[Adapter, ...]
    weights: NDArray[Any] | None
    together: Together | None = None  # None: by the weighted sum of their outputs


class Mixtures:
    """The slots for mixtures of a PEFT model, by the number of adapters they mix; each is made when first needed."""

    def __init__(self, peft_model: Any, lora: LoraConfig) -> None:
        self._model = peft_model
        self._lora = lora
        self._slots: dict[int, MixtureSlot] = {}

    def slot(self, mixture: Mixture) -> "MixtureSlot":
        """Return the slot for a mixture."""
        count = len(mixture.adapters)
        if count not in self._slots:
            self._slots[count] = MixtureSlot(self._model, self._lora, count)
        return self._slots[count]


class MixtureSlot:
    """A second LoRA slot of a PEFT model, for K adapters of the first slot's kind; silent while it is not in use."""

    def __init__(self, peft_model: Any, lora: LoraConfig, adapters: int) -> None:
        self._model = peft_model
        self._name = f"mixture_{adapters}"
        self._mixture: Mixture | None = None  # in use
        self._weights: Tensor | None = None  # (B, K) of the batch at hand
        self._directions: dict[nn.Module, Tensor] = {}  # by A, (K, d_in), of a mixture by token
        self._counted: Tensor | None = None  # (B, L), 1 at the tokens whose weights are summed up
        self._sums: Tensor | None = None  # (B, K)
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
        self._downwards = {f"{name}.lora_A.weight": module.lora_A[self._name] for name, module in layers}
        for module in self._downwards.values():
            module.register_forward_hook(self._scale)
        peft_model.set_adapter("default")

    @contextlib.contextmanager
    def using(self, mixture: Mixture) -> Iterator[None]:
        """Answer with the adapters of a mixture; unless they are weighed by token, set each batch's by `weigh`."""
        if isinstance(mixture.together, ByAnswer):
            raise ValueError("adapters that are averaged in probability have a row each: take `apart` of the mixture")
        adapters = mixture.adapters
        with torch.no_grad():
            for key, parameter in self._factors.items():
                stacked = torch.cat([adapter[key] for adapter in adapters], dim=0 if "lora_A" in key else 1)
                parameter.copy_(stacked)
        if isinstance(mixture.together, ByToken):
            device = next(iter(self._factors.values())).device
            self._directions = {a: _directions(key, adapters).to(device) for key, a in self._downwards.items()}
        self._mixture = mixture
        self._model.set_adapter(self._name)
        try:
            yield
        finally:
            self._model.set_adapter("default")
            self._mixture = self._weights = None
            self._directions = {}

    def weigh(self, rows: Sequence[int]) -> None:
        """Say which samples of the mixture the next batch holds, in order."""
        if self._mixture is not None and self._mixture.weights is not None:
            device = next(iter(self._factors.values())).device
            self._weights = torch.as_tensor(self._mixture.weights[list(rows)], dtype=torch.float32, device=device)

    @contextlib.contextmanager
    def counting(self, tokens: Tensor) -> Iterator[Tensor]:
        """Sum up the weights of tokens over all modules.

        Args:
            tokens: (B, L), 1 at the tokens that count.

        Yields:
            The sums (B, K), which grow with every pass.
        """
        count = len(self._mixture.adapters) if self._mixture else 0
        self._counted, self._sums = tokens, torch.zeros(len(tokens), count, device=tokens.device)
        try:
            yield self._sums
        finally:
            self._counted = self._sums = None

    def _scale(self, module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        by_token = self._mixture.together if self._mixture else None
        if isinstance(by_token, ByToken):
            weights = by_token.weights(inputs[0], self._directions[module])
            if self._counted is not None and self._sums is not None:
                self._sums += (weights.float() * self._counted[..., None]).sum(dim=1)
        elif self._weights is not None:
            weights = self._weights[:, None, :]
        else:
            raise RuntimeError("a mixture answers only with weights")
        return output * weights.repeat_interleave(self._rank, dim=-1)


def _directions(key: str, adapters: Sequence[Adapter]) -> Tensor:
    """Return what each adapter reads most in a module, (K, d_in)."""
    upwards = key.replace("lora_A", "lora_B")
    return torch.stack([input_direction(adapter[key], adapter[upwards]) for adapter in adapters])
