"""Keyed randomness: every random draw comes from a generator made for it alone.

A draw is keyed by (seed, purpose, round, client, group) and nothing else, so its outcome does not depend on what was
drawn before it. That makes methods comparable draw by draw, and lets a run continue without saved generator state.
"""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive_seed(seed: int, purpose: str, *key: int | str) -> int:
    """Return a seed in [0, 2**31) that depends on all of the arguments and on nothing else."""
    text = "\x1f".join(map(str, (seed, purpose, *key)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 33


def numpy_generator(seed: int, purpose: str, *key: int | str) -> np.random.Generator:
    """Return the NumPy generator of one keyed draw."""
    return np.random.default_rng(derive_seed(seed, purpose, *key))


def torch_generator(seed: int, purpose: str, *key: int | str) -> "torch.Generator":
    """Return the CPU torch generator of one keyed draw."""
    import torch  # seconds of import, which whoever only reads data does without

    return torch.Generator().manual_seed(derive_seed(seed, purpose, *key))
