"""`verify`: whether a run folder is what it says it is, and whether training again gives the same."""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedrouter_sim.adapters.folders import load_peft_config
from fedrouter_sim.adapters.state import adapter_digest
from fedrouter_sim.backbone.locating import has_digest, resolve_model
from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.config.paths import table_settings
from fedrouter_sim.errors import Interrupted, MayPass, UserError
from fedrouter_sim.examples.sources import NOT_ON_DISK
from fedrouter_sim.federation.observers import SILENT, Display
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.backbones import require_model
from fedrouter_sim.runs.cells import read_cells, samples_digest
from fedrouter_sim.runs.digests import file_digest, file_digests
from fedrouter_sim.runs.entries import named_entries
from fedrouter_sim.runs.layout import NOT_IN_MANIFEST
from fedrouter_sim.runs.reader import Run, open_run
from fedrouter_sim.storage import json_text
from fedrouter_sim.threads import torch_threads

SAME, CHANGED, UNKNOWN = "same", "changed", "not checked"

Train = Callable[..., Any]
"""What trains a run: (config, out, overwrite, display)."""

_DECIDED = ("adapters/", "updates/", "router.", "rounds.jsonl", "eval/")  # what the settings of a run decide


@dataclass(frozen=True)
class Check:
    """What one digest says."""

    what: str
    state: str  # SAME, CHANGED or UNKNOWN
    said: str = ""  # why


def verify(run: Run | Path | str, display: Display = SILENT, rerun: Train | None = None) -> list[Check]:
    """Recompute every digest of a run: of its files, its answers, its data, its backbone and the user's own entries.

    Args:
        run: a run, or its folder.
        display: shows progress.
        rerun: trains (`operations.train.train`): train the run again, beside it for as long as it takes, and compare
            all that its settings decide.

    What cannot be had, such as data or a backbone that are not there, is not checked, and the check says why.

    Raises:
        UserError: the folder is no run, or it is to be trained again and names code that is not trusted.
    """
    run = open_run(run)
    display.started("computing digests")
    checks = [*_files(run), *_cells(run), *_own(run), *_data(run), *_backbone(run)]
    if rerun is not None:
        checks += _again(run, display, rerun)
    return checks


def _check(what: str, recorded: object, found: object, said: str = "") -> Check:
    if recorded is None:
        return Check(what, UNKNOWN, "no digest was written down")
    return Check(what, SAME if recorded == found else CHANGED, "" if recorded == found else said)


def _files(run: Run) -> Iterator[Check]:
    recorded = run.manifest.get("files_sha256")
    if not isinstance(recorded, dict):
        yield _check("files", None, None)
        return
    found = file_digests(run.folder, without=NOT_IN_MANIFEST)
    for name in sorted({*recorded, *found}):
        if name not in found:
            yield Check(name, CHANGED, "is gone")
        elif name not in recorded:
            yield Check(name, CHANGED, "was not there when the run was done")
        else:
            yield _check(name, recorded[name], found[name], "is another file than when the run was done")


def _cells(run: Run) -> Iterator[Check]:
    for cell in read_cells(run.folder):
        name = f"eval/{cell.name}.jsonl"
        path = run.folder / name
        found = file_digest(path) if path.is_file() else "gone"
        yield _check(name, cell.answers_sha256, found, "is not of the scores beside it")
        if found == cell.answers_sha256:
            asked = samples_digest(run.folder, cell)
            yield _check(f"samples of {cell.name}", cell.samples, asked, "are not those that were scored")


def _own(run: Run) -> Iterator[Check]:
    """Compare the files of the user's own entries; none is run."""
    for setting, (table, value) in named_entries(run.config).items():
        if table.is_own(value):
            said = f"{flag(setting)} {value}: the file is gone or has changed"
            yield _check(f"your own {setting}", run.own_digests.get(setting), table.digest(value), said)


def _untrusted(run: Run, *settings: str) -> str:
    """Return why the user's own entries of some settings may not be run; '' where they may."""
    try:
        run.check_own(*settings)
    except UserError as error:
        return str(error)
    return ""


def _data(run: Run) -> Iterator[Check]:
    if run.config.data in NOT_ON_DISK or run.manifest.get("data_sha256") is None:
        yield Check("data", UNKNOWN, f"are not on disk ({run.config.data})")
        return
    if why := _untrusted(run, "format", "split", "drift_to"):
        yield Check("data", UNKNOWN, why)
        return
    try:
        found = partition_data(run.config).shares.digest()
    except UserError as error:
        yield Check("data", _unreadable(run.config.data), str(error))
        return
    yield _check("data", run.manifest["data_sha256"], found, f"--data {run.config.data} has changed")


def _unreadable(named: str) -> str:
    """Return what is to be said of data or a backbone that cannot be read: what is here has changed."""
    return CHANGED if Path(named).exists() else UNKNOWN


def _backbone(run: Run) -> Iterator[Check]:
    recorded = run.manifest.get("backbone_sha256")
    if recorded is None:
        yield _check("backbone", None, None)
        return
    same = False
    try:
        require_model(run.folder, run.config)
        same = has_digest(resolve_model(run.config.model), recorded)
        yield Check("backbone", SAME if same else CHANGED, "" if same else f"--model {run.config.model} has changed")
    except UserError as error:
        yield Check("backbone", _unreadable(run.config.model), str(error))
    if why := _untrusted(run, "router"):
        yield Check("backbone of the router", UNKNOWN, why)
    elif (router := run.router) is not None:
        yield _check("backbone of the router", recorded, router.backbone_digest, "is another than the run's")
    beginnings = {update.initial_sha256 for update in run.updates()} - {None}
    if same and beginnings:
        what = "adapter that all start from"
        try:
            initial = adapter_digest(Backbone(run.config).initial_adapter(run.config.seed))
            yield _check(what, beginnings, {initial}, "is another than that of the updates")
        except UserError as error:  # as that a device is missing here
            yield Check(what, UNKNOWN, str(error))


def _again(run: Run, display: Display, train: Train) -> Iterator[Check]:
    if run.manifest.get("command") != "train":
        yield Check("training again", UNKNOWN, f"{run.manifest.get('command')} wrote this run")
        return
    run.check_own(*table_settings())
    if run.config.data in NOT_ON_DISK:
        yield Check("training again", UNKNOWN, f"the run's data are not on disk ({run.config.data})")
        return
    known, here = run.manifest.get("threads"), torch.get_num_threads()
    if known is None:
        said = f"the run does not say in how many it was trained; it is trained again in {here}"
        yield Check("number of threads", UNKNOWN, said)
    with tempfile.TemporaryDirectory(prefix="fedrouter-sim-") as place, torch_threads(known):
        try:
            again = train(run.config, Path(place) / "again", False, display).folder
        except Interrupted as error:  # nothing is kept to go on with
            raise KeyboardInterrupt from error
        except MayPass:
            raise
        except UserError as error:
            gone = any(
                Path(one).is_absolute() and not Path(one).exists() for one in (run.config.data, run.config.model)
            )
            yield Check("training again", UNKNOWN if gone else CHANGED, str(error))
            return
        first, second = _decided(run.folder), _decided(again)
        # What `eval` scored later is not scored in training.
        for name in sorted(name for name in {*first, *second} if name in second or not name.startswith("eval/")):
            said = "is gone" if name not in first else "training again gives another"
            yield _check(f"{name}, trained again", second.get(name, ""), first.get(name), said)


def _decided(folder: Path) -> dict[str, str]:
    """Return the digests of the files that settings decide, whatever folder the backbone lies in."""
    found = {name: digest for name, digest in file_digests(folder).items() if name.startswith(_DECIDED)}
    for name in found:
        if name.endswith("/adapter_config.json"):
            said = load_peft_config((folder / name).parent) | {"base_model_name_or_path": None}
            found[name] = hashlib.sha256(json_text(said).encode()).hexdigest()
    return found
