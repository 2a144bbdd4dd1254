"""Update folders of clients that trained elsewhere: found at any depth, read whole, refused by name."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from fedrouter_sim.adapters.folders import save_adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.messages import FeatureSums
from fedrouter_sim.runs.update_folders import (
    ANSWER_TOKENS,
    find_update_folders,
    gather,
    normalizer_for,
    read_update_folder,
)

D = 3
PEFT = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}


def write(folder: Path, tensors: dict[str, Any] | None = None, without: str = "", **record: Any) -> Path:
    """Write an update of client 0, group 0, with changes."""
    adapter = {"x.lora_A.weight": torch.ones(2, 3), "x.lora_B.weight": torch.zeros(4, 2)}
    save_adapter(folder, adapter, PEFT)
    values = {"client": 0, "group": 0, "examples": 5} | record
    (folder / "update.json").write_text(json.dumps({k: v for k, v in values.items() if k != without}), encoding="utf-8")
    arrays = {"centroids": np.arange(2 * D, dtype=np.float32).reshape(2, D), "sizes": np.array([2, 3])}
    save_file(arrays | (tensors or {}), folder / "centroids.safetensors")
    return folder


def test_the_least_that_another_tool_writes(tmp_path: Path) -> None:
    found = read_update_folder(write(tmp_path / "update", client=3))
    assert (found.stored.client, found.stored.group, found.stored.examples, found.stored.round) == (3, 0, 5, 0)
    assert (found.stored.initial_sha256, found.stored.clusters, found.normalize, found.sums) == (None, (), "none", None)
    assert found.centroids.answer_tokens.tolist() == [ANSWER_TOKENS] * 2
    np.testing.assert_array_equal(found.centroids.centroids, [[0, 1, 2], [3, 4, 5]])
    assert found.centroids.sizes.tolist() == [2, 3]


def test_all_that_it_may_say(tmp_path: Path) -> None:
    sums = {"total": np.array([1.0, 2.0, 3.0]), "total_squares": np.array([4.0, 5.0, 6.0], dtype=np.float32)}
    said = {"round": 9, "initial_sha256": "ab", "normalize": "none", "answer_tokens": [7, 8], "clusters": [2, 0]}
    found = read_update_folder(write(tmp_path / "update", sums, **said))
    assert (found.stored.round, found.stored.initial_sha256, found.stored.clusters) == (9, "ab", (2, 0))
    assert found.centroids.answer_tokens.tolist() == [7, 8]
    assert found.sums is not None
    assert (found.sums.count, found.sums.total.tolist(), found.sums.total_squares.tolist()) == (5, [1, 2, 3], [4, 5, 6])


def test_folders_are_found_at_any_depth_and_a_run_by_its_updates(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a" / "deep" / "er"), write(tmp_path / "a" / "b")
    assert find_update_folders([tmp_path / "a"]) == [two, one]
    assert find_update_folders([one, two]) == [one, two]
    run = tmp_path / "run"
    inside = write(run / "updates" / "client_000" / "group_0")
    save_adapter(run / "adapters" / "task_0", {"x.lora_A.weight": torch.ones(1, 1)}, PEFT)
    (run / "manifest.json").write_text("{}", encoding="utf-8")
    assert find_update_folders([run]) == [inside]


def test_what_holds_no_update_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere: no such folder"):
        find_update_folders([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: holds no update"):
        find_update_folders([tmp_path / "empty"])


@pytest.mark.parametrize("name", ["update.json", "centroids.safetensors"])
def test_half_an_update_is_refused(tmp_path: Path, name: str) -> None:
    folder = write(tmp_path / "update")
    (folder / name).unlink()
    [found] = find_update_folders([tmp_path])
    with pytest.raises(UserError, match=rf"{re.escape(str(folder / name))}: .*an update needs this file") as caught:
        read_update_folder(found)
    assert "\n" not in str(caught.value)
    (folder / name).write_bytes(b"garbage")
    with pytest.raises(UserError, match=rf"{re.escape(str(folder / name))}: (not readable|damaged) ") as caught:
        read_update_folder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"without": "client"}, "it lacks client"),
        ({"client": "Anna"}, "client must be a whole number, not a text"),
        ({"client": True}, "client must be a whole number, not true or false"),
        ({"group": -1}, "group must be at least 0"),
        ({"examples": 0}, "examples must be at least 1"),
        ({"examples": 2.5}, "examples must be a whole number, not a number"),
        ({"round": None}, "round must be a whole number, not null"),
        ({"initial_sha256": 7}, "initial_sha256 must be a text"),
        ({"normalize": "standardize"}, "its centroids are standardised .* --normalize none"),
        ({"normalize": "cosine"}, "normalize is 'cosine'"),
        ({"answer_tokens": [1]}, "answer_tokens must be 2 whole numbers"),
        ({"answer_tokens": [1, 0]}, "answer_tokens\\[1\\] must be at least 1"),
        ({"clusters": ["a", "b"]}, "clusters\\[0\\] must be a whole number, not a text"),
        ({"tensors": {"sizes": np.array([0, 3])}}, "sizes must be of at least 1"),
        ({"tensors": {"sizes": np.array([1.0, 3.0])}}, "sizes must be whole numbers"),
        ({"tensors": {"centroids": np.zeros(3, dtype=np.float32)}}, r"centroids must be floats of shape"),
        (
            {"tensors": {"centroids": np.zeros((0, 3), dtype=np.float32)}},
            r"centroids must be floats of shape",
        ),
        (
            {"tensors": {"centroids": np.full((2, 3), np.nan, dtype=np.float32)}},
            "tensor 'centroids' has a value that is not finite",
        ),
        ({"tensors": {"total": np.zeros(2), "total_squares": np.zeros(3)}}, r"total must be floats of shape \(3\)"),
    ],
)
def test_what_is_wrong_in_a_folder_is_refused_in_one_line(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = write(tmp_path / "update", **change)
    with pytest.raises(
        UserError, match=rf"^{re.escape(str(folder))}.*(not a usable update|damaged) \(.*{words}"
    ) as caught:
        read_update_folder(folder)
    assert "\n" not in str(caught.value)


def test_the_groups_of_a_client_come_together_in_the_order_of_its_clusters(tmp_path: Path) -> None:
    def rows(*values: float) -> dict[str, Any]:
        return {"centroids": np.array([[v] * D for v in values], dtype=np.float32), "sizes": np.arange(len(values)) + 1}

    folders = [
        write(tmp_path / "b", rows(10, 12), client=5, group=1, clusters=[0, 2], answer_tokens=[3, 4]),
        write(tmp_path / "a", rows(11), client=5, group=0, clusters=[1]),
        write(tmp_path / "c", rows(20), client=2, group=4, clusters=[1]),
        write(tmp_path / "d", rows(21, 22), client=2, group=9),  # without numbers: group after group
    ]
    updates, messages = gather(map(read_update_folder, folders))
    assert [(u.client, u.group) for u in updates] == [(2, 4), (2, 9), (5, 0), (5, 1)]
    assert [update.clusters for update in updates] == [(0,), (1, 2), (1,), (0, 2)]
    assert [message.client for message in messages] == [2, 5]
    assert messages[0].centroids[:, 0].tolist() == [20, 21, 22]
    assert messages[1].centroids[:, 0].tolist() == [10, 11, 12]
    assert messages[1].sizes.tolist() == [1, 1, 2]
    assert messages[1].answer_tokens.tolist() == [3, ANSWER_TOKENS, 4]


def test_an_update_that_is_there_twice_and_mixed_spaces_are_refused(tmp_path: Path) -> None:
    one, two = read_update_folder(write(tmp_path / "a")), read_update_folder(write(tmp_path / "b"))
    with pytest.raises(UserError, match=r"b: is client 0, group 0, as .*a is; give each update once"):
        gather([one, two])
    other = read_update_folder(write(tmp_path / "c", group=1, normalize="l2"))
    with pytest.raises(UserError, match=r"c: its centroids are of normalize 'l2', those of .*a of 'none'"):
        gather([one, other])


def test_the_space_follows_from_what_the_folders_hold(tmp_path: Path) -> None:
    values = np.array([[1, 2, 3], [3, 2, 9]], dtype=np.float32)
    sums = FeatureSums.of(values)
    held = {"total": sums.total, "total_squares": sums.total_squares}
    raw = read_update_folder(write(tmp_path / "raw"))
    summed = read_update_folder(write(tmp_path / "summed", held, group=1, examples=2))
    unit = read_update_folder(write(tmp_path / "unit", held, normalize="l2"))
    kind: Callable[..., str] = lambda *updates, wanted=None: normalizer_for(updates, wanted).kind  # noqa: E731
    assert (kind(raw), kind(raw, summed), kind(summed), kind(unit)) == ("none", "none", "standardize", "l2")
    assert (kind(summed, wanted="none"), kind(unit, wanted="l2")) == ("none", "l2")
    np.testing.assert_allclose(normalizer_for([summed], None)(values), [[-1, 0, -1], [1, 0, 1]], atol=1e-6)
    for updates, wanted, words in (
        ((raw, summed), "standardize", r"raw has no total and total_squares; take --normalize none"),
        ((raw,), "l2", "are of normalize 'none'"),
        ((unit,), "none", "are of normalize 'l2'; take --normalize l2"),
        ((unit,), "standardize", "are of normalize 'l2'"),
    ):
        with pytest.raises(UserError, match=rf"--normalize {wanted}: .*{words}"):
            normalizer_for(updates, wanted)
