"""Writes a run folder while the simulation runs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from fedrouter_sim.adapters.folders import load_adapter, plain_peft_config, save_adapter
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.evaluation.labels import LabelTasks
from fedrouter_sim.evaluation.sample_map import SAMPLES_NAME
from fedrouter_sim.evaluation.scores import CellResult
from fedrouter_sim.evaluation.truth import Truth
from fedrouter_sim.federation.observers import Observer, RoundRecord
from fedrouter_sim.federation.plan import Deployment, Plan
from fedrouter_sim.federation.sharing import SharedFrom
from fedrouter_sim.machine import machine_record
from fedrouter_sim.messages import Update
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import Router
from fedrouter_sim.runs.cells import write_cell
from fedrouter_sim.runs.digests import file_digest, file_digests
from fedrouter_sim.runs.discovery import Discovery
from fedrouter_sim.runs.layout import (
    CONFIG_FILE,
    FORMAT,
    LABELS_NAME,
    MANIFEST_NAME,
    NOT_IN_MANIFEST,
    POOLS_NAME,
    ROUNDS_NAME,
    STATE_NAME,
    TIMINGS_NAME,
    TRUTH_NAME,
)
from fedrouter_sim.runs.sharing import save_shared
from fedrouter_sim.runs.summary import SUMMARY_NAME, Summary
from fedrouter_sim.runs.updates import CENTROIDS_NAME, UPDATE_NAME, StoredUpdate, update_folder
from fedrouter_sim.storage import read_json, write_json, write_text
from fedrouter_sim.version import __version__

_PASSED_ON = (
    "client group pool round examples clusters initial_sha256 answer_tokens normalize loss steps tokens"
).split()
"""What of an update's record is written again."""


class RunWriter(Observer):
    """Fills a run folder while the simulation runs. The folder is a temporary one until all is written."""

    def __init__(
        self, folder: Path, config: RunConfig, peft_config: dict[str, Any], initial_sha256: str | None = None
    ) -> None:
        """Begin the folder with its settings, unless it is begun.

        Args:
            folder: is there.
            config: the settings.
            peft_config: the configuration of the run's adapters.
            initial_sha256: digest of the adapter that every pool starts from, to be written beside each update.
        """
        self._folder = folder
        self._initial_sha256 = initial_sha256
        self._peft_config = peft_config
        self._plan = Plan()
        if not (folder / CONFIG_FILE).exists():
            write_text(folder / CONFIG_FILE, config.to_toml())

    def planned(self, plan: Plan, rounds: int, steps: int) -> None:
        """Remember the plan, whose local centroids go beside each update."""
        self._plan = plan

    def received(self, update: Update) -> None:
        """Write a group's update over its last one."""
        folder = self._folder / update_folder(update.client, update.group)
        save_adapter(folder, update.adapter, self._peft_config)
        record = {key: value for key, value in vars(update).items() if key != "adapter"}
        if self._initial_sha256 is not None:
            record["initial_sha256"] = self._initial_sha256
        self._write_record(folder, record, update.client, update.clusters, self._plan.router, self._plan.archive)

    def copy_update(self, update: StoredUpdate, router: Router, archive: Archive) -> None:
        """Copy an update that lies elsewhere, with its centroids as they stand in the archive."""
        folder = self._folder / update_folder(update.client, update.group)
        save_adapter(folder, load_adapter(update.folder), plain_peft_config(update.folder))
        stored = read_json(update.folder / UPDATE_NAME, "give a folder that holds an update")
        record = {key: value for key, value in stored.items() if key in _PASSED_ON}
        own = {key: getattr(update, key) for key in ("client", "group", "round", "examples", "clusters")}
        self._write_record(folder, record | own, update.client, update.clusters, router, archive)

    def _write_record(
        self,
        folder: Path,
        record: dict[str, Any],
        client: int,
        clusters: Sequence[int],
        router: Router | None,
        archive: Archive | None,
    ) -> None:
        """Write update.json and, where there is a router, the group's local clusters in its space."""
        if router is not None and archive is not None:
            record |= {
                "normalize": router.normalizer.kind,
                "answer_tokens": archive.answer_tokens_of(client, clusters).tolist(),
            }
            centroids, sizes = archive.local_clusters(client, clusters)
            (folder / CENTROIDS_NAME).write_bytes(save({"centroids": centroids, "sizes": sizes}))
        write_json(folder / UPDATE_NAME, record)

    def shared(self, by: SharedFrom) -> None:
        """Write what the sharing of a round went by over that of the round before, as updates are."""
        save_shared(self._folder, by)

    def resumed(self, records: Sequence[RoundRecord]) -> None:
        """Write the rounds of an earlier process; what it had written after them is not there any more."""
        for name in (ROUNDS_NAME, TIMINGS_NAME):
            (self._folder / name).unlink(missing_ok=True)
        for record in records:
            self.round_ended(record, {})

    def round_ended(self, record: RoundRecord, adapters: dict[str, Adapter]) -> None:
        """Append the round to rounds.jsonl and its seconds to timings.jsonl (times never repeat, the rest does)."""
        values = record.to_dict()
        seconds = values.pop("seconds")
        self._append(ROUNDS_NAME, values)
        self._append(TIMINGS_NAME, {"round": record.round, "seconds": seconds})

    def write_model(self, adapters: dict[str, Adapter], deployment: Deployment, longest_answer: int) -> None:
        """Write what answers: adapters, pools, router, and what else the method kept."""
        for pool in deployment.pools:
            save_adapter(self._folder / "adapters" / pool.name, adapters[pool.name], self._peft_config)
        listed = [asdict(pool) for pool in deployment.pools]
        write_json(self._folder / POOLS_NAME, {"longest_answer": longest_answer, "pools": listed})
        if deployment.router is not None:
            deployment.router.save(self._folder)
        if deployment.archive is not None:
            deployment.archive.save(self._folder)
        if deployment.state:
            tensors = {name: np.ascontiguousarray(deployment.state[name]) for name in sorted(deployment.state)}
            (self._folder / STATE_NAME).write_bytes(save(tensors))

    def write_discovery(self, discovery: Discovery | None) -> None:
        """Write how the tasks were found, where local clusters were linked."""
        if discovery is not None:
            discovery.save(self._folder)

    def write_samples(self, samples: dict[str, Any] | None) -> None:
        """Write the map of training samples in two dimensions, where there is one."""
        if samples is not None:
            write_json(self._folder / SAMPLES_NAME, samples)

    def write_truth(self, truth: Truth | None, labels: LabelTasks) -> None:
        """Write how many examples of each task went where, where tasks are named, and the labels that are answers."""
        if labels.trained:  # a run from before they were written down has none to pass on
            labels.save(self._folder / LABELS_NAME)
        if truth is not None:
            truth.save(self._folder / TRUTH_NAME)

    def write_result(self, result: CellResult, **context: Any) -> None:
        """Write a cell's scores, and its single answers beside them."""
        write_cell(self._folder, result, **context)

    def write_summary(self, summary: Summary, manifest: dict[str, Any]) -> None:
        """Write summary.json and manifest.json."""
        summary.save(self._folder)
        files = file_digests(self._folder, without=NOT_IN_MANIFEST)
        record = {"format": FORMAT, "fedrouter_sim": __version__, **manifest, **machine_record(), "files_sha256": files}
        write_json(self._folder / MANIFEST_NAME, record)

    def _append(self, name: str, record: dict[str, Any]) -> None:
        with (self._folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


def rewrite_summary(folder: Path, summary: Summary, manifest: dict[str, Any]) -> dict[str, Any]:
    """Write summary.json of a finished run again, with its digest in the manifest; return the manifest.

    A file that is not the one that the manifest names keeps the digest there: what was done to it is not covered up.
    """
    path = folder / SUMMARY_NAME
    files = manifest.get("files_sha256")
    before = file_digest(path)
    summary.save(folder)
    after = file_digest(path)
    # The same file once more: an earlier call was broken off between the two.
    if isinstance(files, dict) and (files.get(SUMMARY_NAME) == before or before == after):
        manifest = manifest | {"files_sha256": files | {SUMMARY_NAME: after}}
        write_json(folder / MANIFEST_NAME, manifest)
    return manifest
