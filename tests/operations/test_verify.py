"""`verify`: each digest notices its change, and training again gives the same."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.train import train
from fedrouter_sim.operations.verify import CHANGED, SAME, UNKNOWN, verify
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.runs.reader import Run


def changed(run: Path) -> list[str]:
    return [check.what for check in verify(run) if check.state == CHANGED]


def test_a_run_is_what_it_says_and_training_again_gives_the_same(finished_run: Path) -> None:
    checks = verify(finished_run, Display(), train)
    assert {check.state for check in checks} == {SAME}
    names = {check.what for check in checks}
    assert {"data", "backbone", "adapter that all start from", "backbone of the router", "summary.json"} <= names
    assert {"eval/all-global.jsonl", "samples of all-global", "rounds.jsonl, trained again"} <= names
    assert "adapters/task_0/adapter_model.safetensors, trained again" in names


def test_every_file_is_looked_at(run_copy: Path) -> None:
    weights = run_copy / "adapters" / "task_0" / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    (run_copy / "router.json").unlink()
    (run_copy / "router.safetensors").unlink()
    (run_copy / "adapters" / "extra.bin").touch()
    assert changed(run_copy) == [
        "adapters/extra.bin", "adapters/task_0/adapter_model.safetensors", "router.json", "router.safetensors",
    ]  # fmt: skip


def test_answers_that_are_not_of_their_scores_are_noticed(run_copy: Path) -> None:
    path = run_copy / "eval" / "all-global.jsonl"
    path.write_text(path.read_text().replace("task_1", "task_2"))
    assert changed(run_copy) == ["eval/all-global.jsonl"]


def test_other_data_and_another_backbone_are_noticed(run_copy: Path) -> None:
    path = run_copy / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"data_sha256": "0", "backbone_sha256": "0"}))
    assert changed(run_copy) == ["data", "backbone", "backbone of the router"]


def test_an_entry_of_the_users_own_is_compared_and_not_run(
    micro_config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "own.py"
    file.write_text("from fedrouter_sim.partition.splits.all import All\n\n\nclass Own(All):\n    name = 'own'\n")
    run = train(micro_config(split=f"{file}:Own", test_examples_per_client=1), tmp_path / "run").folder
    monkeypatch.setattr("fedrouter_sim.tables.Table.was_run", lambda table, name: False)  # as in another process
    by_name = {check.what: check for check in verify(run)}
    assert by_name["your own split"].state == SAME and CHANGED not in {check.state for check in by_name.values()}
    assert by_name["data"].state == UNKNOWN and "--trust-code" in by_name["data"].said
    assert {check.state for check in verify(Run(run, trust_code=True))} == {SAME}
    with pytest.raises(UserError, match="not run on the folder's word"):
        verify(run, rerun=train)
    file.write_text(file.read_text() + "\n# changed\n")
    assert [c.what for c in verify(run) if c.state == CHANGED] == ["your own split"]


def test_a_run_from_before_digests_were_written_down_is_said_to_be_unknown(run_copy: Path) -> None:
    path = run_copy / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["files_sha256"]
    path.write_text(json.dumps(manifest))
    for scores in (run_copy / "eval").glob("*.json"):
        record = json.loads(scores.read_text())
        del record["answers_sha256"]
        scores.write_text(json.dumps(record))
    states = [check.state for check in verify(run_copy)]
    assert CHANGED not in states and states.count(UNKNOWN) == 1 + 6


@pytest.fixture
def moved(
    micro_config: Callable[..., RunConfig], micro_model: Path, micro_data: Path, tmp_path: Path
) -> tuple[Path, Path]:
    """A run whose backbone and data are no longer where they were, and where the backbone is now."""
    old = {name: tmp_path / "old" / name for name in ("model", "data")}
    for name, source in (("model", micro_model), ("data", micro_data)):
        shutil.copytree(source, old[name])
    config = micro_config(**{name: str(path) for name, path in old.items()}, rounds=1, local_steps=1)
    run = train(config, tmp_path / "run").folder
    (tmp_path / "old").rename(tmp_path / "new")
    return run, tmp_path / "new" / "model"


def test_what_is_not_there_is_not_checked_and_the_rest_is(moved: tuple[Path, Path]) -> None:
    run, model = moved
    by_name = {check.what: check for check in verify(run, rerun=train)}
    odd = {what: check for what, check in by_name.items() if check.state != SAME}
    assert list(odd) == ["data", "backbone", "training again"] and {c.state for c in odd.values()} == {UNKNOWN}
    old = Run(run).config
    assert f"--data {old.data}: no such file or folder" in odd["data"].said
    assert odd["backbone"].said == f"{old.model}: the backbone of {run} is not there; say where it is with --model PATH"
    assert old.data in odd["training again"].said or old.model in odd["training again"].said
    assert by_name["summary.json"].state == SAME
    again = {check.what: check for check in verify(Run(run, model=model))}
    assert [what for what, check in again.items() if check.state != SAME] == ["data"]
    assert again["backbone"].state == again["adapter that all start from"].state == SAME


def test_a_run_is_trained_again_on_a_backbone_that_has_moved(moved: tuple[Path, Path]) -> None:
    run, model = moved
    shutil.copytree(model.parent / "data", Run(run).config.data)
    checks = verify(Run(run, model=model), rerun=train)
    assert {check.state for check in checks} == {SAME}
    assert "adapters/task_0/adapter_config.json, trained again" in {check.what for check in checks}


def test_a_run_of_data_from_python_is_not_trained_again(micro_config: Callable[..., RunConfig], tmp_path: Path) -> None:
    shares = partition_data(micro_config()).shares
    config = micro_config(rounds=1, local_steps=1)
    run = train(config, tmp_path / "run", shares=shares).folder
    last = verify(run, rerun=train)[-1]
    assert (last.what, last.state) == ("training again", UNKNOWN)
    assert last.said == "the run's data are not on disk (given in Python)"


def test_a_run_is_trained_again_in_as_many_threads_as_it_was(run_copy: Path) -> None:
    seen: list[int] = []

    def seeing(*arguments: object) -> None:
        seen.append(torch.get_num_threads())
        raise UserError("enough")

    def again(threads: int | None) -> list[tuple[str, str]]:
        manifest = json.loads((run_copy / "manifest.json").read_text(encoding="utf-8")) | {"threads": threads}
        (run_copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        return [(c.what, c.said) for c in verify(run_copy, rerun=seeing) if c.state != SAME]

    before = torch.get_num_threads()
    assert again(before + 1) == [("training again", "enough")]
    assert again(None) == [
        ("number of threads", f"the run does not say in how many it was trained; it is trained again in {before}"),
        ("training again", "enough"),
    ]
    assert (seen, torch.get_num_threads()) == ([before + 1, before], before)
    for wrong in (0, 10**6, "two"):
        with pytest.raises(UserError, match=r"manifest\.json: damaged \(threads"):
            again(wrong)  # type: ignore[arg-type]
