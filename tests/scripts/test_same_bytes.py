"""The guard of bytes: it sees what differs, and lets pass only what a commit has announced."""

import json
from pathlib import Path

import pytest
import same_bytes


def run_folder(folder: Path, loss: float = 1.0, answer: str = "yes") -> Path:
    (folder / "adapters" / "task_0").mkdir(parents=True)
    (folder / "eval").mkdir()
    (folder / "adapters" / "task_0" / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "rounds.jsonl").write_text(json.dumps({"loss": loss}), encoding="utf-8")
    (folder / "summary.json").write_text(str(loss), encoding="utf-8")  # has times in it: not compared
    row = {"client": 0, "instruction": "x", "pool": "task_0", "answer": answer, "loss": 2.0, "other": loss}
    (folder / "eval" / "all-global.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    return folder


def test_what_settings_decide_is_compared_file_by_file(tmp_path: Path) -> None:
    one = same_bytes.digests(run_folder(tmp_path / "one"))
    assert list(one) == ["adapters/task_0/adapter_model.safetensors", "rounds.jsonl", "answers/all-global"]
    assert same_bytes.differing(one, same_bytes.digests(run_folder(tmp_path / "two"))) == []
    other = same_bytes.digests(run_folder(tmp_path / "three", loss=1.5, answer="no"))
    assert same_bytes.differing(one, other) == ["answers/all-global", "rounds.jsonl"]
    assert same_bytes.differing(one, {}) == sorted(one)


def test_the_folder_of_the_backbone_is_that_of_each_tree(tmp_path: Path) -> None:
    found = []
    for side, rank in (("one", 8), ("two", 8), ("three", 4)):
        run = run_folder(tmp_path / side)
        settings = {"base_model_name_or_path": f"/trees/{side}/data/tiny-gpt2", "r": rank}
        (run / "adapters" / "task_0" / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
        found.append(same_bytes.digests(run))
    assert found[0] == found[1]
    assert same_bytes.differing(found[0], found[2]) == ["adapters/task_0/adapter_config.json"]


@pytest.mark.parametrize(
    ("said", "code"), [("", 1), ("fedavg/rounds.jsonl: losses are rounded", 0), ("oracle/*: moved", 1)]
)
def test_only_announced_differences_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], said: str, code: int
) -> None:
    losses = {"old": 1.0, "new": 2.0}
    monkeypatch.setattr(same_bytes, "run_tree", lambda ref, out: run_folder(out / "fedavg", losses[ref]))
    monkeypatch.setattr(same_bytes, "_git", lambda *words: said + "\n")
    assert same_bytes.compare("old", "new", tmp_path) == code
    printed = capsys.readouterr().out
    assert "fedavg                   2 equal, 1 differ" in printed
    assert ("as announced: losses are rounded" in printed) == (code == 0)
    assert ("NOT ANNOUNCED" in printed) == (code == 1)


def test_every_method_is_compared() -> None:
    from fedrouter_sim.methods import METHODS

    assert {settings["method"] for settings in same_bytes.RUNS.values()} == set(METHODS.names)
