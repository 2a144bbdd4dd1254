"""The last update of every group, as a run folder keeps it."""

import json
from pathlib import Path

import numpy as np
import pytest
from run_folders import PEFT, finish, update
from safetensors.numpy import load_file

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.runs.updates import read_updates, update_folder
from fedrouter_sim.runs.writer import RunWriter


def test_a_group_has_its_own_folder() -> None:
    assert update_folder(3, 0) == Path("updates/client_003/group_0")
    assert update_folder(1000, 12) == Path("updates/client_1000/group_12")


def test_updates_come_in_client_and_group_order(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, RunConfig(method="fedavg"), PEFT)
    places = [(1000, 0), (2, 10), (2, 9), (999, 3), (10, 0)]
    for client, group in places:
        writer.received(update(client, group))
    finish(writer)
    found = list(read_updates(tmp_path))
    assert [(stored.client, stored.group) for stored in found] == sorted(places)
    assert list(Run(tmp_path).updates()) == found
    assert [stored.folder for stored in found] == [tmp_path / update_folder(*place) for place in sorted(places)]


def test_the_digest_of_the_initial_adapter_is_kept_where_it_is_known(tmp_path: Path) -> None:
    for number, digest in enumerate(("abc", None)):
        folder = tmp_path / str(number)
        folder.mkdir()
        RunWriter(folder, RunConfig(method="fedavg"), PEFT, digest).received(update(0, 0))
        assert [stored.initial_sha256 for stored in read_updates(folder)] == [digest]


def test_a_folder_without_updates_has_none(tmp_path: Path) -> None:
    assert list(read_updates(tmp_path)) == []


def test_local_centroids_lie_beside_each_update(finished_run: Path) -> None:
    run = Run(finished_run)
    assert run.archive is not None
    seen: dict[int, set[int]] = {}
    for stored in run.updates():
        tensors = load_file(stored.folder / "centroids.safetensors")
        message = run.archive.clients[stored.client]
        np.testing.assert_array_equal(tensors["centroids"], message.centroids[list(stored.clusters)])
        np.testing.assert_array_equal(tensors["sizes"], message.sizes[list(stored.clusters)])
        assert tensors["sizes"].sum() == stored.examples
        seen.setdefault(stored.client, set()).update(stored.clusters)
    assert seen == {client: {0, 1} for client in range(4)}


def test_damaged_update_record_is_refused(run_copy: Path) -> None:
    path = run_copy / "updates" / "client_000" / "group_0" / "update.json"
    for change in ({"examples": None}, {"clusters": 3}, {"round": "soon"}):
        record = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(record | change), encoding="utf-8")
        with pytest.raises(UserError, match=r"update\.json: damaged"):
            list(Run(run_copy).updates())
        path.write_text(json.dumps(record), encoding="utf-8")
