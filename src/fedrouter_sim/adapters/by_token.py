"""Arrow: adapters that answer together, weighed anew for every token in every module, by what each adapter reads.

Ostapenko et al. 2024, "Towards Modular LLMs by Building and Reusing a Library of LoRAs" (arXiv 2405.11157), as PEFT's
`create_arrow_model` has it. An adapter's change of a module is B A; of all directions that a token's hidden state x may
have there, the one that it changes most is the top right singular vector v of B A. Adapters are weighed by |v . x|.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class ByToken:
    """How K adapters are weighed for a token: a softmax over the `top_k` largest |v_k . x|.

    The hidden state x is taken as it is, so what `temperature` means depends on its length.
    """

    for_each_token: ClassVar[bool] = True
    top_k: int = 3  # PEFT's default
    temperature: float = 1.0  # PEFT's default

    def weights(self, hidden: Tensor, directions: Tensor) -> Tensor:
        """Return each token's weights (..., K), which sum to 1.

        Args:
            hidden: what a module gets, (..., d_in).
            directions: of the adapters in that module, as `input_direction` gives them, (K, d_in).
        """
        likeness = (hidden.to(directions.dtype) @ directions.T).abs()
        best, which = likeness.topk(min(self.top_k, len(directions)), dim=-1)
        kept = torch.full_like(likeness, float("-inf")).scatter(-1, which, best)
        return torch.softmax(kept / self.temperature, dim=-1)


def input_direction(a: Tensor, b: Tensor) -> Tensor:
    """Return the top right singular vector of B A, (d_in,), of unit length; its sign means nothing.

    Zeros where B A is zero. Computed exactly from r x r matrices; PEFT takes 15 steps of power iteration from a random
    start, which come close to it.

    Args:
        a: (r, d_in).
        b: (d_out, r).
    """
    q, r = torch.linalg.qr(a.double().T)  # A = r^T q^T
    small = b.double() @ r.T  # B A = small q^T, and q has orthonormal columns
    if not small.any():
        return torch.zeros_like(a[0])
    vectors = torch.linalg.eigh(small.T @ small).eigenvectors  # by ascending eigenvalue
    direction: Tensor = q @ vectors[:, -1]
    return direction.to(a.dtype)
