"""Gradient sketches: in which direction each row would change the adapter, in a few hundred numbers.

At the common start B is 0, so A has no gradient, and the gradient of a row's response loss with respect to the B
factors says what training on it would do first. A seeded random projection (a count sketch: each weight goes to one of
the numbers, with a random sign) keeps inner products, and is the same for all clients.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.randomness import torch_generator

SKETCH = 512  # numbers of a sketch
_SLOT = "default"
_TINY = torch.finfo().tiny


class NotByRow(Exception):
    """A module saw its rows mixed up, as experts do: rows have to be run one by one."""


class Projection:
    """Projects the gradients of B factors to `SKETCH` numbers, which keeps their inner products up to noise.

    Args:
        seed: the run's.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._drawn: dict[str, tuple[Tensor, Tensor]] = {}

    def of(self, module: str, size: int) -> tuple[Tensor, Tensor]:
        """Return the place of each of a module's weights in the sketch, and its sign, both (size,)."""
        if module not in self._drawn:
            generator = torch_generator(self.seed, "gradient sketch", module)
            places = torch.randint(SKETCH, (size,), generator=generator)
            self._drawn[module] = places, torch.randint(2, (size,), generator=generator).float() * 2 - 1
        return self._drawn[module]


def sketch_of_change(start: Adapter, end: Adapter, projection: Projection) -> NDArray[np.float32]:
    """Return a sketch of unit length (SKETCH,) of how the B factors of an adapter changed; 0 if they did not.

    A module's change counts by the root of its length, as its gradient does in `RowGradients`.
    """
    total = torch.zeros(1, SKETCH)
    for name in sorted(name for name in start if "lora_B" in name):
        _add_scaled(total, (end[name] - start[name]).reshape(1, -1), projection.of(name, start[name].numel()))
    return np.asarray(nn.functional.normalize(total, dim=1, eps=_TINY)[0].numpy())


def _add_scaled(total: Tensor, changes: Tensor, projected: tuple[Tensor, Tensor]) -> None:
    """Add the changes of one module, (rows, weights), to sketches (rows, SKETCH), each by the root of its length."""
    places, signs = projected
    scaled = changes / changes.norm(dim=1, keepdim=True).clamp_min(_TINY).sqrt()
    total.index_add_(1, places, scaled * signs)


class RowGradients:
    """Collects the gradient of each row of a batch with respect to the B factors of a PEFT model, projected.

    The gradient of a B factor is a sum over tokens of the outer product of what arrives at its output, backwards, and
    its input. Kept apart by row, one pass backwards over a batch gives the gradient of every row.

    Args:
        peft_model: the model with its LoRA slot.
        projection: of the gradients.
    """

    def __init__(self, peft_model: Any, projection: Projection) -> None:
        layers = [(name, module) for name, module in peft_model.named_modules() if isinstance(module, LoraLayer)]
        self._factors: list[tuple[str, Any]] = [(name, module.lora_B[_SLOT]) for name, module in layers]
        self._projection = projection
        self._found: dict[str, Tensor] = {}

    def sketches(
        self, count: int, batches: Iterable[Sequence[int]], loss_of: Callable[[Sequence[int]], Tensor]
    ) -> NDArray[np.float32]:
        """Return a sketch of unit length for each of `count` rows, (count, SKETCH); 0 for one whose gradient is 0.

        A module's gradient counts by the root of its length, so that no single module decides. Where a module mixes
        the rows of a batch up, they are run one by one.

        Args:
            count: rows in all.
            batches: their numbers, a batch at a time.
            loss_of: runs a batch, and returns the sum of its losses.
        """
        found = np.empty((count, SKETCH), dtype=np.float32)
        for batch in batches:
            try:
                found[batch] = self._sketched(batch, loss_of).numpy()
            except NotByRow:
                found[batch] = torch.cat([self._sketched([row], loss_of) for row in batch]).numpy()
        return found

    def _sketched(self, batch: Sequence[int], loss_of: Callable[[Sequence[int]], Tensor]) -> Tensor:
        """Return the sketches of a batch, (B, SKETCH)."""
        self._found = {}
        with self._listening(len(batch)):
            torch.autograd.grad(loss_of(batch), [factor.weight for _, factor in self._factors], allow_unused=True)
        total = torch.zeros(len(batch), SKETCH)
        for name, gradient in sorted(self._found.items()):
            _add_scaled(total, gradient, self._projection.of(name, gradient.shape[1]))
        return nn.functional.normalize(total, dim=1, eps=_TINY)

    @contextmanager
    def _listening(self, rows: int) -> Iterator[None]:
        handles = [factor.register_forward_hook(self._listener(name, rows)) for name, factor in self._factors]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _listener(self, name: str, rows: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def hear(factor: nn.Module, inputs: Sequence[Tensor], output: Tensor) -> None:
            if output.requires_grad:
                entered = inputs[0].detach()
                output.register_hook(lambda arrived: self._add(name, by_row(arrived, entered, rows)))

        return hear

    def _add(self, name: str, gradient: Tensor) -> None:
        self._found[name] = self._found[name] + gradient if name in self._found else gradient


def by_row(arrived: Tensor, entered: Tensor, rows: int) -> Tensor:
    """Return the gradient of a B factor for each row, (rows, d_out r).

    Args:
        arrived: the gradient of the factor's output, (rows, ..., d_out).
        entered: the factor's input, (rows, ..., r).
        rows: of the batch; 1: whatever the shapes, all is of one row.

    Raises:
        NotByRow: the tensors do not begin with the rows.
    """
    if rows > 1 and (entered.dim() < 3 or len(entered) != rows):
        raise NotByRow
    left = arrived.reshape(rows, -1, arrived.shape[-1]).float().cpu()
    right = entered.reshape(rows, -1, entered.shape[-1]).float().cpu()
    return torch.bmm(left.transpose(1, 2), right).reshape(rows, -1)
