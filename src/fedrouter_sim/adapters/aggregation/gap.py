"""How far the product of mean factors is from the mean of the products: what averaging LoRA factors gets wrong."""

from math import isfinite, sqrt

import torch
from torch import Tensor

from fedrouter_sim.adapters.aggregation.product import factors_by_module
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.randomness import torch_generator

PROBES = 8  # vectors per module


class Probes:
    """Gaussian vectors to multiply modules by, drawn as they are needed. A module's are the same for all pools and
    rounds of a run, so that their gaps can be compared; memory is that of one adapter's A's.

    Args:
        seed: the run's.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn: dict[str, Tensor] = {}

    def of(self, module: str, width: int) -> Tensor:
        """Return X (width, PROBES) of a module, in float64; the width is the module's d_in."""
        if module not in self._drawn:
            generator = torch_generator(self._seed, "aggregation gap", module)
            self._drawn[module] = torch.randn(width, PROBES, generator=generator, dtype=torch.float64)
        return self._drawn[module]


class FactorGap:
    """The relative Frobenius distance, over all modules together, between the mean of products and the product of means

        ||mean(B A) - mean(B) mean(A)|| / ||mean(B A)||

    of the weighted adapters of one pool in one round. No matrix B A is formed: for Gaussian X (d_in, p), the expected
    ||M X||^2 / p is ||M||^2, and M X of both sides comes from running sums. What is kept is the sum of the B's and
    three thin matrices a module, in float64, however many adapters are added.

    It is an estimate by p = 8 vectors a module. Both squared norms are unbiased, each with a relative standard
    deviation of sqrt(2 / (p s)), where s = ||M||^4 / ||M^T M||^2 is the effective rank over all modules together (which
    about adds up over modules); that of a norm is half of it, sqrt(1 / (2 p s)): 9% where s is 8, 3% where it is 80.
    The ratio has the errors of both norms: 6% to 10% in a default run on the tiny backbone, with 1% to 2% of bias. Add
    in a fixed order: then the bits are fixed, too.

    Args:
        probes: the run's.
    """

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._count = 0
        self._total = 0.0
        self._sums: dict[str, tuple[Tensor, Tensor, Tensor]] = {}  # module -> sums of w B, of w A X, and of w B A X

    def add(self, adapter: Adapter, weight: float) -> None:
        """Add one adapter; all have the same modules, shapes and scale, as the groups of one pool have.

        Raises:
            ValueError: a key is no LoRA factor of a linear module, or a factor lacks its partner.
        """
        for module, (b, a) in factors_by_module(adapter).items():
            b, a = b.double(), a.double()
            seen = a @ self._probes.of(module, a.shape[1])  # A X, (r, p)
            if module not in self._sums:
                self._sums[module] = (torch.zeros_like(b), torch.zeros_like(seen), b.new_zeros(len(b), PROBES))
            of_b, of_a, of_product = self._sums[module]
            of_b.add_(b, alpha=weight)
            of_a.add_(seen, alpha=weight)
            of_product.addmm_(b, seen, alpha=weight)
        self._total += weight
        self._count += 1

    def value(self) -> float | None:
        """Return the gap: 0 means that there is none, 1 that the distance is as large as the mean itself.

        It is exactly 0 with one adapter; None where the mean of the products is 0, or a value is not finite.

        Raises:
            ValueError: nothing was added.
        """
        if not self._count:
            raise ValueError("the gap of no adapters is undefined")
        if self._count == 1:
            return 0.0
        apart = whole = 0.0
        for of_b, of_a, of_product in self._sums.values():
            mean = of_product / self._total
            apart += float((mean - (of_b / self._total) @ (of_a / self._total)).square().sum())
            whole += float(mean.square().sum())
        return sqrt(apart / whole) if whole > 0 and isfinite(apart) and isfinite(whole) else None
