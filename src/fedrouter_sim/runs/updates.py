"""The last update of every group, as a run folder keeps it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import read_json
from fedrouter_sim.typed import Count, Natural, taken

UPDATE_NAME = "update.json"
CENTROIDS_NAME = "centroids.safetensors"


@dataclass(frozen=True)
class StoredUpdate:
    """The record of a group's last update, as found on disk; `folder` holds its adapter."""

    folder: Path
    client: int
    group: int
    round: int
    examples: int
    clusters: tuple[int, ...]
    initial_sha256: str | None = None  # digest of the adapter that the training began with; None: unknown
    pool: str | None = None  # whose adapter its training started from; None: unknown


def update_folder(client: int, group: int) -> Path:
    """Return where the last update of a group lies in a run folder."""
    return Path("updates") / f"client_{client:03d}" / f"group_{group}"


def read_updates(run: Path) -> Iterator[StoredUpdate]:
    """Yield the record of every group's last update, in client and group order.

    Raises:
        UserError: a record is damaged.
    """
    records = []
    for path in (run / "updates").glob(f"*/*/{UPDATE_NAME}"):
        value = read_json(path, "train the run anew")
        try:
            own = {key: taken(value, key, Count) for key in ("client", "group", "round")}
            examples = taken(value, "examples", Natural)
            initial = taken(value, "initial_sha256", str | None, None)
            clusters = taken(value, "clusters", tuple[Count, ...])
            pool = taken(value, "pool", str | None, None)
            records.append(
                StoredUpdate(
                    folder=path.parent, examples=examples, clusters=clusters, pool=pool, initial_sha256=initial, **own
                )
            )
        except ValueError as error:
            raise UserError(f"{path}: damaged ({error}); train the run anew") from None
    yield from sorted(records, key=lambda update: (update.client, update.group))
