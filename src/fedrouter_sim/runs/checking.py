"""What a run's manifest and rounds have to be where they are read back."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fedrouter_sim.adapters.state import Adapter, check_shapes
from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import read_json_lines
from fedrouter_sim.typed import Count, Natural, Threads, Within, taken

_REMEDY = "train the run anew"

_MANIFEST: dict[str, Any] = {
    "backbone": str | None,
    "backbone_sha256": str,
    "data_sha256": str | None,
    "clustering_seed": Count,
    "own_sha256": Mapping[str, str] | None,
    "method_sha256": str | None,
    "wall_seconds": Annotated[float, Within(0)],
    "data_clients": list[str] | None,
    "data_notes": list[str] | None,
    "notes": list[str] | None,
    "libraries": Mapping[str, str] | None,
    "threads": Threads | None,
}
"""What of a manifest is read, where it is there."""

_ROUND: dict[str, Any] = {
    "gaps": Mapping[str, float | None] | None,
    "validation": Mapping[str, float | None] | None,
    "participants": list[Count] | None,
    "lr": float | None,
    "rates": Mapping[str, float] | None,
    "steps": Count | None,
    "tokens": Count | None,
    "failed": Mapping[str, list[Count]] | None,
}
"""What else of a round is read, where it is there."""


def check_manifest(manifest: Mapping[str, Any], path: Path) -> None:
    """Refuse a manifest of which something that is read is not of its type.

    Raises:
        UserError: it is not; the message names the file.
    """
    try:
        for key, kind in _MANIFEST.items():
            taken(manifest, key, kind, None)
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); {_REMEDY}") from None


def notes_in(manifest: Mapping[str, Any]) -> list[str]:
    """Return what a run had to say of its data and of its training, a sentence each; of older runs the former alone."""
    return [*(manifest.get("data_notes") or ()), *(manifest.get("notes") or ())]


def read_rounds(path: Path) -> list[dict[str, Any]]:
    """Read rounds.jsonl. A loss may be NaN, as that of a run that went wrong.

    Raises:
        UserError: the file is damaged.
    """
    found = list(read_json_lines(path, {"round": Natural, "losses": Mapping[str, float]}, _REMEDY))
    for number, record in enumerate(found, 1):
        try:
            for key, kind in _ROUND.items():
                taken(record, key, kind, None)
        except ValueError as error:
            raise UserError(f"{path}: damaged (line {number}: {error}); {_REMEDY}") from None
    return found


def check_fits(shapes: Mapping[str, tuple[int, ...]], adapter: Adapter, folder: Path) -> Adapter:
    """Return an adapter, if it has the keys and shapes of the backbone's slot.

    Raises:
        UserError: it has not; the message names its folder.
    """
    try:
        check_shapes(shapes, adapter)
    except ValueError as error:
        raise UserError(f"{folder}: is of another backbone ({error}); train or aggregate the run anew") from None
    return adapter
