"""Updates of clients that trained elsewhere: PEFT folders with a record and local centroids beside the adapter.

A folder of the form holds

- `adapter_config.json`, `adapter_model.safetensors`: a plain LoRA adapter of one rank, as PEFT saves it;
- `update.json`: `client` and `group` (whole numbers that no other folder has together) and `examples` (how many it was
  trained on: its weight);
- `centroids.safetensors`: `centroids` (k, d), the mean embedding of each local cluster of the group's examples, and
  `sizes` (k,), the examples in each.

A record may also say `initial_sha256` (`adapters.adapter_digest` of the adapter that training began with),
`answer_tokens` (the longest training response of each cluster in tokens, EOS included), `clusters` (the number of each
cluster among all of the client's), `round`, and `normalize`: 'l2' if the embeddings were unit rows before the mean;
'none', raw, is the default. Raw centroids can be standardised if every folder has also the sums of its examples'
embeddings and of their squares: `total` and `total_squares` (d,) in `centroids.safetensors`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fedrouter_sim.adapters.folders import WEIGHTS_NAME
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage, FeatureSums
from fedrouter_sim.runs.updates import CENTROIDS_NAME, UPDATE_NAME, StoredUpdate

ANSWER_TOKENS = 64  # where a folder does not say how long its responses were


@dataclass(frozen=True)
class ForeignUpdate:
    """One such folder, but for its adapter."""

    stored: StoredUpdate  # its clusters are numbered within the client
    centroids: CentroidMessage  # of this group alone
    normalize: str  # the space of the centroids: 'none' or 'l2'
    sums: FeatureSums | None


def find_update_folders(paths: Sequence[Path]) -> list[Path]:
    """Return the update folders that the given folders are or hold, at any depth; of a run folder, its updates.

    Raises:
        UserError: one is no folder, or holds no update or only half of one.
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise UserError(f"{path}: no such folder; give folders with updates")
        top = path / "updates" if (path / "manifest.json").is_file() else path
        inside = {file.parent for name in (UPDATE_NAME, WEIGHTS_NAME) for file in top.rglob(name)}
        if not inside:
            raise UserError(f"{path}: holds no update; one is a PEFT folder with {UPDATE_NAME} and {CENTROIDS_NAME}")
        found += sorted(inside)
    return found


def read_update_folder(folder: Path) -> ForeignUpdate:
    """Read all of an update but its adapter.

    Raises:
        UserError: a file is missing or damaged, or a value is none that it may be.
    """
    record = _record(folder / UPDATE_NAME)
    tensors = _tensors(folder / CENTROIDS_NAME)
    try:
        client, group = (_whole(record, key, 0) for key in ("client", "group"))
        examples = _whole(record, "examples", 1)
        round_ = _whole(record, "round", 0) if "round" in record else 0
        initial = record.get("initial_sha256")
        if initial is not None and not (isinstance(initial, str) and initial):
            raise ValueError(f"initial_sha256 is {initial!r}, not a digest")
        normalize = record.get("normalize", "none")
        if normalize == "standardize":
            raise ValueError(
                "its centroids are standardised by sums that only their run has; aggregate that run, or train it with "
                "--normalize none"
            )
        if normalize not in ("none", "l2"):
            raise ValueError(f"normalize is {normalize!r}, not 'none' or 'l2'")
        centroids = _centroids(tensors)
        k, d = centroids.shape
        sizes = _counts(tensors.get("sizes"), "sizes", k)
        tokens = _counts(record.get("answer_tokens", [ANSWER_TOKENS] * k), "answer_tokens", k)
        clusters = tuple(_counts(record.get("clusters", range(k)), "clusters", k, least=0).tolist())
        sums = _sums(tensors, examples, d)
    except (TypeError, ValueError) as error:
        raise UserError(f"{folder}: not a usable update ({error})") from None
    numbered = clusters if "clusters" in record else ()
    stored = StoredUpdate(folder, client, group, round_, examples, numbered, initial)
    return ForeignUpdate(stored, CentroidMessage(client, centroids, sizes, tokens), normalize, sums)


def gather(updates: Iterable[ForeignUpdate]) -> tuple[list[StoredUpdate], list[CentroidMessage]]:
    """Put the groups of each client together.

    Returns:
        The updates in client and group order, whose `clusters` are rows of their client's message, and one message a
        client, in client order. A client's clusters come in the order of the numbers that its folders give them, or
        else group after group.

    Raises:
        UserError: two updates are of the same client and group, or have centroids of different spaces.
    """
    ordered = sorted(updates, key=lambda update: (update.stored.client, update.stored.group))
    for one, other in pairwise(ordered):
        if (one.stored.client, one.stored.group) == (other.stored.client, other.stored.group):
            raise UserError(
                f"{other.stored.folder}: is client {other.stored.client}, group {other.stored.group}, as "
                f"{one.stored.folder} is; give each update once"
            )
    first = ordered[0]
    for update in ordered:
        if update.normalize != first.normalize:
            raise UserError(
                f"{update.stored.folder}: its centroids are of normalize {update.normalize!r}, those of "
                f"{first.stored.folder} of {first.normalize!r}; give updates of one space"
            )
    by_client: dict[int, list[ForeignUpdate]] = {}
    for update in ordered:
        by_client.setdefault(update.stored.client, []).append(update)
    stored: list[StoredUpdate] = []
    messages: list[CentroidMessage] = []
    for client, own in by_client.items():
        rows = [(group, row) for group, update in enumerate(own) for row in range(len(update.centroids.sizes))]
        if all(update.stored.clusters for update in own):
            rows.sort(key=lambda place: own[place[0]].stored.clusters[place[1]])
        places = [[rows.index((group, row)) for row in range(len(u.centroids.sizes))] for group, u in enumerate(own)]
        parts = [update.centroids for update in own]
        messages.append(
            CentroidMessage(
                client,
                np.stack([parts[group].centroids[row] for group, row in rows]),
                np.array([parts[group].sizes[row] for group, row in rows]),
                np.array([parts[group].answer_tokens[row] for group, row in rows]),
            )
        )
        stored += [replace(u.stored, clusters=tuple(place)) for u, place in zip(own, places, strict=True)]
    return stored, messages


def normalizer_for(updates: Sequence[ForeignUpdate], wanted: str | None) -> Normalizer:
    """Return how embeddings are normalised for these updates' centroids.

    Args:
        updates: whose centroids are all of one space.
        wanted: 'none', 'l2' or 'standardize'; None: 'standardize' if all updates have the sums for it, else the space
            that their centroids are in.

    Raises:
        UserError: the updates' centroids cannot be carried into the space that is wanted.
    """
    space = updates[0].normalize
    lacking = next((update.stored.folder for update in updates if update.sums is None), None)
    if wanted is None:
        wanted = "standardize" if space == "none" and lacking is None else space
    if wanted == space:
        return Normalizer(space)
    if wanted == "standardize" and space == "none" and lacking is None:
        return Normalizer.of(wanted, [update.sums for update in updates if update.sums is not None])
    reason = f"{lacking} has no total and total_squares" if wanted == "standardize" and space == "none" else (
        f"the updates' centroids are of normalize {space!r}"
    )  # fmt: skip
    raise UserError(f"--normalize {wanted}: {reason}; take --normalize {space}")


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; an update needs this file") from None
    except ValueError as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from None
    if not isinstance(record, dict):
        raise UserError(f"{path}: not a JSON object")
    return record


def _tensors(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: {error.strerror or error}; an update needs this file") from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not readable as safetensors of NumPy's types ({error})") from None


def _whole(record: dict[str, Any], key: str, least: int) -> int:
    value = record.get(key)
    if type(value) is not int or value < least:
        raise ValueError(f"{UPDATE_NAME} must say {key!r}, a whole number of at least {least}, not {value!r}")
    return value


def _counts(values: Any, name: str, k: int, least: int = 1) -> NDArray[np.int64]:
    counts = np.asarray(values if values is not None else [])
    if counts.shape != (k,) or counts.dtype.kind not in "iu" or (counts < least).any():
        raise ValueError(f"{name} must be {k} whole numbers of at least {least}, one a centroid")
    return counts.astype(np.int64)


def _centroids(tensors: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    centroids = tensors.get("centroids")
    if centroids is None or centroids.ndim != 2 or not centroids.size or centroids.dtype.kind != "f":
        raise ValueError(f"{CENTROIDS_NAME} must hold 'centroids', floats of shape (k, d)")
    if not np.isfinite(centroids).all():
        raise ValueError("a centroid is not finite")
    return centroids.astype(np.float32)


def _sums(tensors: dict[str, NDArray[Any]], examples: int, d: int) -> FeatureSums | None:
    if "total" not in tensors or "total_squares" not in tensors:
        return None
    total, squares = (tensors[key].astype(np.float64) for key in ("total", "total_squares"))
    if total.shape != (d,) or squares.shape != (d,) or not (np.isfinite(total) & np.isfinite(squares)).all():
        raise ValueError(f"total and total_squares must be {d} finite numbers each")
    return FeatureSums(examples, total, squares)
