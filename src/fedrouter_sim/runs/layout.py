"""What the files of a run folder are called."""

from pathlib import Path

from fedrouter_sim.errors import UserError

FORMAT = 2
"""Version of the run folder. Format 1 had the clients' centroids in the router's file and one metric in its summary."""
READABLE = (1, FORMAT)

CONFIG_FILE = "config.toml"
MANIFEST_NAME = "manifest.json"
POOLS_NAME = "pools.json"
STATE_NAME = "kept.safetensors"
SHARED_NAME = "sharing.safetensors"
TRUTH_NAME = "truth.json"
LABELS_NAME = "labels.json"
ROUNDS_NAME = "rounds.jsonl"
TIMINGS_NAME = "timings.jsonl"
CHECKPOINT_FOLDER = "checkpoint"
"""What a run under way keeps in order to go on; gone when it is complete."""
REPORT_NAME = "report.html"
NOT_IN_MANIFEST = (MANIFEST_NAME, CHECKPOINT_FOLDER, "eval", "tensorboard", REPORT_NAME, "figures")
"""Files and folders whose digests the manifest does not have: they are written anew now and then, or not yet whole."""

RUN_MARKS = (CONFIG_FILE, MANIFEST_NAME)
"""The files that every run folder has: what lacks one of them is not overwritten."""

EXPORT_NAME = "export.json"
"""What says that a folder is an export."""


def require_folder(folder: Path) -> None:
    """Refuse a run folder that is not there.

    Raises:
        UserError: it is not.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such run folder; `fedrouter-sim train --out {folder}` makes one")


def require_run(folder: Path) -> None:
    """Refuse what is no run folder at first sight; nothing heavy is imported for it.

    Raises:
        UserError: it is none.
    """
    require_folder(folder)
    if not (folder / MANIFEST_NAME).exists():
        if inside := sorted(path.parent for path in folder.glob(f"*/{MANIFEST_NAME}")):
            raise UserError(f"{folder}: is a folder of runs; name one, as {inside[0]}")
        raise UserError(f"{folder / MANIFEST_NAME}: is not there; is {folder} a run folder of fedrouter-sim?")
