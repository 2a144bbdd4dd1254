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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from fedrouter_sim.adapters.folders import WEIGHTS_NAME
from fedrouter_sim.clustering.normalizing import Normalizer
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import CentroidMessage, FeatureSums
from fedrouter_sim.routing.archive import MOST_TOKENS
from fedrouter_sim.runs.updates import CENTROIDS_NAME, UPDATE_NAME, StoredUpdate
from fedrouter_sim.showing import shown
from fedrouter_sim.storage import read_json, refuse_links
from fedrouter_sim.tensors import Tensors
from fedrouter_sim.typed import Natural, Pattern, Within, taken

_NUMBER = Annotated[int, Within(0, 2**40)]  # of a client, a group, a cluster or a round
_TOKENS = Annotated[int, Within(1, MOST_TOKENS)]
_DIGEST = Annotated[str, Pattern(r"[^\n]{1,200}", "1 to 200 characters")]
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
        refuse_links(path)
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
    tensors = Tensors(folder / CENTROIDS_NAME, "an update needs this file")
    try:
        client, group = (taken(record, key, _NUMBER) for key in ("client", "group"))
        examples = taken(record, "examples", Natural)
        round_ = taken(record, "round", _NUMBER, 0)
        initial = taken(record, "initial_sha256", _DIGEST | None, None)
        normalize = taken(record, "normalize", str, "none")
        if normalize == "standardize":
            raise ValueError(
                "its centroids are standardised by sums that only their run has; aggregate that run, or train it with "
                "--normalize none"
            )
        if normalize not in ("none", "l2"):
            raise ValueError(f"normalize is {shown(normalize)}, not 'none' or 'l2'")
        centroids = tensors.floats("centroids", (None, None)).astype(np.float32)
        k, d = centroids.shape
        sizes = tensors.whole("sizes", (k,), least=1, most=2**53).astype(np.int64)
        tokens = np.array(taken(record, "answer_tokens", list[_TOKENS], [ANSWER_TOKENS] * k), dtype=np.int64)
        if len(tokens) != k:
            raise ValueError(f"answer_tokens must be {k} whole numbers, one a centroid")
        clusters = tuple(taken(record, "clusters", list[_NUMBER], list(range(k))))
        if len(clusters) != k:
            raise ValueError(f"clusters must be {k} whole numbers, one a centroid")
        sums = _sums(tensors, examples, d)
    except ValueError as error:
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
    if not path.exists():
        raise UserError(f"{path}: No such file or directory; an update needs this file")
    return read_json(path, "an update needs this file")


def _sums(tensors: Tensors, examples: int, d: int) -> FeatureSums | None:
    if "total" not in tensors or "total_squares" not in tensors:
        return None
    total, squares = (tensors.floats(key, (d,), most=1e30).astype(np.float64) for key in ("total", "total_squares"))
    return FeatureSums(examples, total, squares)
