"""Adapters: LoRA states as plain tensors, and their checks."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from fedrouter_sim.showing import shown

Adapter = Mapping[str, Tensor]
"""PEFT state-dict key -> float32 CPU tensor: `....lora_A.weight` (r, d_in) and `....lora_B.weight` (d_out, r)."""


def check_compatible(reference: Adapter, adapter: Adapter) -> None:
    """Raise ValueError unless both have the same keys and shapes."""
    if reference.keys() != adapter.keys():
        odd = sorted(reference.keys() ^ adapter.keys())
        raise ValueError(f"adapters differ in their keys, first {odd[0]!r}")
    for key, value in reference.items():
        if value.shape != adapter[key].shape:
            raise ValueError(
                f"adapters differ in {key!r}: shape {tuple(value.shape)} against {tuple(adapter[key].shape)}"
            )


def check_types(reference: Adapter, adapter: Adapter) -> None:
    """Raise ValueError unless the tensors of both, which have the same keys, are of the same types."""
    for key, value in reference.items():
        if adapter[key].dtype != value.dtype:
            raise ValueError(f"{key!r} is of type {adapter[key].dtype}, not {value.dtype}")


def check_shapes(wanted: Mapping[str, tuple[int, ...]], adapter: Adapter) -> None:
    """Raise ValueError unless an adapter has these keys with these shapes, and no others."""
    if odd := sorted(wanted.keys() - adapter.keys()):
        raise ValueError(f"it has {len(wanted) - len(odd)} of {len(wanted)} tensors and lacks {shown(odd[0])}")
    if more := sorted(adapter.keys() - wanted.keys()):
        raise ValueError(f"it has {len(more)} tensors too many, first {shown(more[0])}")
    for key, shape in wanted.items():
        if tuple(adapter[key].shape) != tuple(shape):
            raise ValueError(f"{shown(key)} is of shape {tuple(adapter[key].shape)}, not {tuple(shape)}")


def check_finite(adapter: Adapter) -> None:
    """Raise ValueError if a value is NaN or infinite."""
    for key, value in adapter.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"adapter weight {key!r} is not finite")


def is_finite(adapter: Adapter) -> bool:
    """Return whether no value is NaN or infinite."""
    return all(bool(torch.isfinite(value).all()) for value in adapter.values())


def adapter_bytes(adapter: Adapter) -> int:
    """Return the size of the weights in bytes, as they would be sent."""
    return sum(value.numel() * value.element_size() for value in adapter.values())


def adapter_digest(adapter: Adapter) -> str:
    """Return the SHA-256 hex digest of an adapter: of each key in sorted order, its shape and its float32 values."""
    digest = hashlib.sha256()
    for key in sorted(adapter):
        value = adapter[key].detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{key}\0{tuple(value.shape)}\0".encode())
        digest.update(value.numpy().astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def with_change_scaled(start: Adapter, adapter: Adapter, factor: float) -> Adapter:
    """Return an adapter whose change from `start`, which has its keys, is multiplied, in the types that it has.

    Computed in float64.
    """
    return {
        key: (start[key].double() + (value.double() - start[key].double()) * factor).to(value.dtype)
        for key, value in adapter.items()
    }


def scaled(adapter: Adapter, factor: float) -> Adapter:
    """Return the adapter whose products B A are `factor` times as large: the B's are scaled."""
    return {key: value * factor if "lora_B" in key else value for key, value in adapter.items()}
