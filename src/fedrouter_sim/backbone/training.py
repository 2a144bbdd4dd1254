"""Local training: AdamW steps on the weights of the one adapter slot."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.randomness import derive_seed


@dataclass(frozen=True)
class TrainedAdapter:
    """What local training yields. `loss` is the mean over steps; `tokens` counts real (not padding) tokens.

    Where a loss was not finite, its step is the last one, and `loss` is not finite either.
    """

    adapter: Adapter
    loss: float
    tokens: int
    steps: int  # that were taken, the one with the loss that is not finite included


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW settings of one group's local training; its state starts anew each time."""

    lr: float
    weight_decay: float
    clip: float


@dataclass(frozen=True)
class Proximal:
    """A term strength / 2 * sum (theta - anchor)^2 in the loss, over A and B."""

    anchor: Adapter
    strength: float

    def term(self, slot: Mapping[str, Tensor]) -> Tensor:
        """Return the term at the parameters of an adapter slot, by their keys."""
        squared = torch.stack(
            [(value - self.anchor[key].to(value.device)).square().sum() for key, value in slot.items()]
        )
        return self.strength / 2 * squared.sum()


def take_steps(
    parameters: Sequence[nn.Parameter],
    batches: Sequence[Sequence[int]],
    loss_of: Callable[[Sequence[int]], Tensor],
    optimizer: OptimizerSettings,
    on_step: Callable[[float], None],
    penalty: Callable[[], Tensor] | None = None,
) -> list[float]:
    """Take one AdamW step per batch, and return the losses without the penalty.

    A loss that is not finite is the last: nothing that can be learned would follow, and the parameters stay.

    Args:
        parameters: what trains.
        batches: what `loss_of` is given, one after the other.
        loss_of: computes the loss of a batch.
        optimizer: learning rate, weight decay and gradient clipping; the optimizer's state starts anew.
        on_step: called with the loss after each step.
        penalty: a term that is added to every loss.
    """
    adamw = torch.optim.AdamW(parameters, lr=optimizer.lr, weight_decay=optimizer.weight_decay, fused=True)
    losses: list[float] = []
    for batch in batches:
        loss = loss_of(batch)
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            break
        adamw.zero_grad(set_to_none=True)
        (loss if penalty is None else loss + penalty()).backward()
        nn.utils.clip_grad_norm_(parameters, optimizer.clip)
        adamw.step()
        on_step(losses[-1])
    return losses


def dropout_seed(seed: int, round_: int, client: int, group: int) -> int:
    """Return the seed of the dropout masks of one group's local training."""
    return derive_seed(seed, "dropout", round_, client, group)
