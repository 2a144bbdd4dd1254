"""The weighted mean of what adapters do, B A, brought back to a given rank: for adapters of different beginnings.

The mean of the A's times the mean of the B's is not the mean of the products. Adapters that start from one initial
adapter keep close enough for that (`aggregation.mean`, as FedAvg does); others have bases of their own.
"""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from fedrouter_sim.adapters.aggregation.rule import Aggregation, check_weighted
from fedrouter_sim.adapters.state import Adapter

_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Truncated:
    """An adapter of the rank asked for, and what the truncation took: the relative error of all its products B A
    together, in the Frobenius norm; 0 where nothing was lost."""

    adapter: Adapter
    error: float


class ProductMean(Aggregation):
    """The running weighted mean of the products B A of adapters, which may differ in rank; used as `WeightedMean` is.

    The mean of n products of rank r is one product of rank n r: the B's side by side, each times its weight, and the
    A's stacked. That is what is kept, in float64; the matrix B A of (d_out, d_in) is never formed. Where the stacked
    rank passes twice the smaller of d_out and d_in, it is brought down to that, exactly, so memory has a limit however
    many adapters are added. Add in a fixed order.

    Args:
        rank: of the result.
    """

    name = "product"
    keeps_basis = False  # the factors of a truncated SVD, whose signs and axes are of each result's own

    def __init__(self, rank: int) -> None:
        super().__init__(rank)
        self.total = 0.0
        self._products: dict[str, tuple[Tensor, Tensor]] = {}  # module -> B (d_out, k), A (k, d_in)

    def add(self, adapter: Adapter, weight: float) -> None:
        """Add one adapter, whose products B A all count with the same scale (see `adapters.scaled`).

        Raises:
            ValueError: the weight is not positive, a value is not finite, a key is no LoRA factor, or the modules or
                their shapes differ from the first's.
        """
        check_weighted(adapter, weight)
        factors = factors_by_module(adapter)
        known = self._products or factors
        if known.keys() != factors.keys():
            odd = sorted(known.keys() ^ factors.keys())
            raise ValueError(f"adapters differ in their modules, first {odd[0]!r}")
        for module, (b, a) in factors.items():
            expected = (known[module][0].shape[0], known[module][1].shape[1])
            if (b.shape[0], a.shape[1]) != expected:
                raise ValueError(f"adapters differ in {module!r}: {(b.shape[0], a.shape[1])} against {expected}")
        for module, (b, a) in factors.items():
            one = (b.double() * weight, a.double())
            self._products[module] = _joined(self._products[module], one) if module in self._products else one
        self.total += weight

    def result(self) -> Adapter:
        """Return the mean in float32, truncated to the rank; `lost` is then the relative error of that.

        Raises:
            ValueError: nothing was added.
        """
        truncated = self.truncated()
        self.lost = truncated.error
        return truncated.adapter

    def truncated(self) -> Truncated:
        """Return the adapter of the given rank that is nearest to the mean in the Frobenius norm, with its error.

        With B = Q_b R_b and A^T = Q_a R_a the singular values of B A are those of the small R_b R_a^T. Their roots go
        to both factors. A mean of lower rank is filled up with zeros.

        Raises:
            ValueError: nothing was added.
        """
        if not self._products:
            raise ValueError("the mean of no adapters is undefined")
        adapter: dict[str, Tensor] = {}
        lost = whole = 0.0
        for module, (b, a) in self._products.items():
            q_b, r_b = torch.linalg.qr(b)
            q_a, r_a = torch.linalg.qr(a.T)
            left, values, right = torch.linalg.svd(r_b @ r_a.T / self.total, full_matrices=False)
            kept = min(self.rank, len(values))
            roots = values[:kept].sqrt()
            new_a = torch.zeros(self.rank, a.shape[1])
            new_b = torch.zeros(b.shape[0], self.rank)
            new_a[:kept] = (roots[:, None] * (right[:kept] @ q_a.T)).float()
            new_b[:, :kept] = (q_b @ left[:, :kept] * roots).float()
            adapter |= {module + _A: new_a, module + _B: new_b}
            lost += float(values[kept:].square().sum())
            whole += float(values.square().sum())
        return Truncated(adapter, sqrt(lost / whole) if whole else 0.0)


def factors_by_module(adapter: Adapter) -> dict[str, tuple[Tensor, Tensor]]:
    """Return B (d_out, r) and A (r, d_in) of each adapted module, by its key without the factor's name, sorted.

    Raises:
        ValueError: a key is no LoRA factor of a linear module, a factor lacks its partner, or the two do not fit.
    """
    for key in adapter:
        if not key.endswith((_A, _B)):
            raise ValueError(f"{key!r} is no LoRA factor of a linear module")
    modules = sorted({key.removesuffix(_A).removesuffix(_B) for key in adapter})
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for module in modules:
        if module + _A not in adapter or module + _B not in adapter:
            raise ValueError(f"{module!r} has one LoRA factor without the other")
        b, a = adapter[module + _B], adapter[module + _A]
        if b.ndim != 2 or a.ndim != 2 or b.shape[1] != a.shape[0]:
            raise ValueError(f"{module!r} has factors B {tuple(b.shape)} and A {tuple(a.shape)}, which do not fit")
        found[module] = (b, a)
    return found


def _joined(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return factors of the sum of two products."""
    b, a = torch.cat([one[0], other[0]], dim=1), torch.cat([one[1], other[1]])
    if a.shape[0] <= 2 * min(b.shape[0], a.shape[1]):
        return b, a
    # More columns than either side has dimensions: a basis of the smaller side says the same in fewer.
    if a.shape[1] <= b.shape[0]:
        q, r = torch.linalg.qr(a.T)
        return b @ r.T, q.T
    q, r = torch.linalg.qr(b)
    return q, r @ a
