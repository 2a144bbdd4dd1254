"""What a run leaves on disk: written as it goes by `RunWriter`, read back by `Run`."""

import json
import platform
import resource
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fedrouter_sim import __version__
from fedrouter_sim.adapters.state import (
    CONFIG_NAME,
    WEIGHTS_NAME,
    Adapter,
    load_adapter,
    load_peft_config,
    save_adapter,
)
from fedrouter_sim.config import RunConfig, read_settings
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import CellResult
from fedrouter_sim.evaluation.sample_map import SAMPLES_NAME
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.messages import Update
from fedrouter_sim.methods import Deployment, Method, Plan, Pool, find_method, method_digest
from fedrouter_sim.routing.router import RECIPE_NAME, Router
from fedrouter_sim.simulation import Observer, RoundRecord
from fedrouter_sim.storage import write_json, write_text

FORMAT = 1
KEPT_NAME = "kept.safetensors"
UPDATE_NAME = "update.json"
CENTROIDS_NAME = "centroids.safetensors"
_LIBRARIES = ("torch", "transformers", "peft", "faiss-cpu", "numpy", "safetensors", "datasets", "rouge-score")
_STATUS = Path("/proc/self/status")


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far."""
    # Linux counts in ru_maxrss what the parent held when it started this process.
    if _STATUS.is_file():
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
        if own := [line for line in lines if line.startswith("VmHWM:")]:
            return int(own[0].split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _update_folder(client: int, group: int) -> Path:
    return Path("updates") / f"client_{client:03d}" / f"group_{group}"


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


class RunWriter(Observer):
    """Fills a run folder while the simulation runs. The folder is a temporary one until all is written."""

    def __init__(
        self, folder: Path, config: RunConfig, peft_config: dict[str, Any], initial_sha256: str | None = None
    ) -> None:
        """Begin the folder with its settings.

        Args:
            folder: is there and empty.
            config: the settings.
            peft_config: the configuration of the run's adapters.
            initial_sha256: digest of the adapter that every pool starts from, to be written beside each update.
        """
        self._folder = folder
        self._initial_sha256 = initial_sha256
        self._peft_config = peft_config
        self._router: Router | None = None
        write_text(folder / "config.toml", config.to_toml())

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        """Remember the router, whose local centroids go beside each update."""
        self._router = plan.router

    def received(self, update: Update) -> None:
        """Write a group's update over its last one."""
        folder = self._folder / _update_folder(update.client, update.group)
        save_adapter(folder, update.adapter, self._peft_config)
        record = {key: value for key, value in vars(update).items() if key not in ("adapter", "pool")}
        if self._initial_sha256 is not None:
            record["initial_sha256"] = self._initial_sha256
        self._write_record(folder, record, update.client, update.clusters, self._router)

    def copy_update(self, update: "StoredUpdate", router: Router) -> None:
        """Copy an update that lies elsewhere, with its centroids as they stand in `router`."""
        folder = self._folder / _update_folder(update.client, update.group)
        folder.mkdir(parents=True)
        for name in (CONFIG_NAME, WEIGHTS_NAME):
            shutil.copyfile(update.folder / name, folder / name)
        record = json.loads((update.folder / UPDATE_NAME).read_text(encoding="utf-8"))
        own = {key: getattr(update, key) for key in ("client", "group", "round", "examples", "clusters")}
        self._write_record(folder, record | own, update.client, update.clusters, router)

    def _write_record(
        self, folder: Path, record: dict[str, Any], client: int, clusters: Sequence[int], router: Router | None
    ) -> None:
        """Write update.json and, where there is a router, the group's local clusters in its space."""
        if router is not None:
            record |= {
                "normalize": router.normalizer.kind,
                "answer_tokens": router.answer_tokens_of(client, clusters).tolist(),
            }
            centroids, sizes = router.local_clusters(client, clusters)
            (folder / CENTROIDS_NAME).write_bytes(save({"centroids": centroids, "sizes": sizes}))
        write_json(folder / UPDATE_NAME, record)

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        """Append the round to rounds.jsonl and its seconds to timings.jsonl (times never repeat, the rest does)."""
        values = asdict(record)
        seconds = values.pop("seconds")
        self._append("rounds.jsonl", values)
        self._append("timings.jsonl", {"round": record.round, "seconds": seconds})

    def write_model(self, adapters: dict[str, Adapter], deployment: Deployment, longest_answer: int) -> None:
        """Write what answers: adapters, pools, router, and what else the method kept."""
        for pool in deployment.pools:
            save_adapter(self._folder / "adapters" / pool.name, adapters[pool.name], self._peft_config)
        listed = [asdict(pool) for pool in deployment.pools]
        write_json(self._folder / "pools.json", {"longest_answer": longest_answer, "pools": listed})
        if deployment.router is not None:
            deployment.router.save(self._folder)
        if deployment.kept:
            tensors = {name: np.ascontiguousarray(deployment.kept[name]) for name in sorted(deployment.kept)}
            (self._folder / KEPT_NAME).write_bytes(save(tensors))

    def write_samples(self, samples: dict[str, Any] | None) -> None:
        """Write the map of training samples in two dimensions, where there is one."""
        if samples is not None:
            write_json(self._folder / SAMPLES_NAME, samples)

    def write_truth(self, truth: Truth | None) -> None:
        """Write the label counts, where there are labels."""
        if truth is not None:
            truth.save(self._folder / "truth.json")

    def write_result(self, result: CellResult, **context: Any) -> None:
        """Write a cell's scores, and its single answers beside them."""
        write_result(self._folder, result, **context)

    def write_summary(self, summary: dict[str, Any], manifest: dict[str, Any]) -> None:
        """Write summary.json and manifest.json."""
        write_json(self._folder / "summary.json", summary)
        versions = {name: version(name) for name in _LIBRARIES}
        machine = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
        }
        write_json(
            self._folder / "manifest.json",
            {"format": FORMAT, "fedrouter_sim": __version__, **manifest, "libraries": versions, **machine},
        )

    def _append(self, name: str, record: dict[str, Any]) -> None:
        with (self._folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def write_result(folder: Path, result: CellResult, **context: Any) -> Path:
    """Write eval/CELL.json (scores) and eval/CELL.jsonl (a line an answer); return the former's path."""
    path = folder / "eval" / f"{result.cell.name}.json"
    answers = "".join(json.dumps(asdict(answer), ensure_ascii=False) + "\n" for answer in result.answers)
    write_text(path.with_suffix(".jsonl"), answers)
    write_json(path, {**context, **result.to_dict()})
    return path


class Run:
    """A finished run folder, opened for reading."""

    def __init__(self, folder: Path | str) -> None:
        """Open a run.

        Raises:
            UserError: the folder is none that `train` or `aggregate` wrote, or is of another format.
        """
        folder = Path(folder)
        self.folder = folder
        if not folder.is_dir():
            raise UserError(f"{folder}: no such run folder; `fedrouter-sim train --out {folder}` makes one")
        self.manifest = self._json("manifest.json")
        if self.manifest.get("format") != FORMAT:
            raise UserError(f"{folder}: run format {self.manifest.get('format')} is not {FORMAT}; train it anew")
        self.config = RunConfig.build(read_settings(folder / "config.toml"))

    @property
    def backbone(self) -> str:
        """What the backbone is, in a line; of a run from before that was written down, the name it was given by."""
        return str(self.manifest.get("backbone") or self.config.model)

    @property
    def clustering_seed(self) -> int:
        """Seed of the run's global clustering: its own, unless `aggregate` was given another."""
        return int(self.manifest.get("clustering_seed", self.config.seed))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What the final table shows."""
        return self._json("summary.json")

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """The run's pools, each with an adapter."""
        record = self._json("pools.json")
        try:
            return tuple(Pool(**pool) for pool in record["pools"])
        except (KeyError, TypeError) as error:
            raise UserError(f"{self.folder / 'pools.json'}: damaged ({error!r}); train the run anew") from None

    @property
    def longest_answer(self) -> int:
        """Most tokens of an answer of the bare backbone."""
        return int(self._json("pools.json")["longest_answer"])

    @cached_property
    def router(self) -> Router | None:
        """The router; None where the method has none."""
        return Router.load(self.folder) if (self.folder / RECIPE_NAME).exists() else None

    @cached_property
    def deployment(self) -> Deployment:
        """What the run answers with, beside the adapters."""
        path = self.folder / KEPT_NAME
        try:
            kept = load_file(path) if path.exists() else {}
        except (OSError, SafetensorError) as error:
            raise UserError(f"{path}: damaged ({error}); train the run anew") from None
        return Deployment(self.pools, self.router, kept)

    @cached_property
    def method(self) -> Method:
        """The run's method.

        Raises:
            UserError: it is the user's own and its file has changed since.
        """
        digest = self.manifest.get("method_sha256")
        if digest is not None and method_digest(self.config.method) != digest:
            raise UserError(
                f"--method {self.config.method}: the file is gone or has changed since {self.folder} was trained with "
                "it; put it back or train the run anew"
            )
        return find_method(self.config.method)

    @cached_property
    def truth(self) -> Truth | None:
        """Label counts; None where the data has no labels."""
        return Truth.load(self.folder / "truth.json")

    def adapter(self, pool: str) -> Adapter:
        """Read the adapter of a pool."""
        return load_adapter(self.folder / "adapters" / pool)

    @cached_property
    def peft_config(self) -> dict[str, Any]:
        """The adapter configuration that all adapters of the run share."""
        return load_peft_config(self.folder / "adapters" / self.pools[0].name)

    def updates(self) -> Iterator[StoredUpdate]:
        """Yield the record of every group's last update, in client and group order."""
        records = []
        for path in (self.folder / "updates").glob("*/*/update.json"):
            value = self._json(str(path.relative_to(self.folder)))
            try:
                own = {key: int(value[key]) for key in ("client", "group", "round", "examples")}
                initial = None if value.get("initial_sha256") is None else str(value["initial_sha256"])
                clusters = tuple(map(int, value["clusters"]))
                records.append(StoredUpdate(folder=path.parent, clusters=clusters, initial_sha256=initial, **own))
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{path}: damaged ({error!r}); train the run anew") from None
        yield from sorted(records, key=lambda update: (update.client, update.group))

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: not readable ({error}); is {self.folder} a run folder of fedrouter-sim?"
            ) from None
        if not isinstance(value, dict):
            raise UserError(f"{path}: not a JSON object; train the run anew")
        return value


def open_run(run: Run | Path | str) -> Run:
    """Return a run as it is, or open the one in a folder.

    Raises:
        UserError: as `Run`.
    """
    return run if isinstance(run, Run) else Run(run)
