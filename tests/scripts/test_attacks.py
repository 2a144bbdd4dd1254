"""The study of attacks: its grid, that it goes on where it was, and its tables."""

import json
import sys
from pathlib import Path
from typing import Any

import attacks
import pytest
from attacking import grid, measure
from attacking.first_round import FirstRoundBackbone
from attacking.show import tables

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig

ROOT = Path(__file__).resolve().parents[2]


def test_the_grid_has_every_attack_answer_share_and_seed_once() -> None:
    for part, count in (
        (grid.UPDATES, 3 * 5 * (1 + 4 * 5)),
        (grid.LONGER, 3 * 4 * (1 + 2 * 3)),
        (grid.CLUSTERS, 3 * 3 * 2 * 5),
    ):
        keys = [trial.key for trial in grid.trials(part)]
        assert len(set(keys)) == len(keys) == count


def test_settings_follow_the_trial() -> None:
    krum = grid.Trial(grid.UPDATES, "noise", "krum", 0.3, 111).config
    assert (krum.attack, krum.attackers, krum.aggregation, krum.option) == ("noise", 0.3, "krum", ("attackers=0.3",))
    assert grid.Trial(grid.UPDATES, "noise", "mean", 0.0, 111).config.attack == "none"
    longer = grid.Trial(grid.LONGER, "scale", "mean", 0.2, 111).config
    assert (longer.rounds, longer.local_steps, krum.local_steps) == (4, 8, 2)
    told = grid.Trial(grid.CLUSTERS, "centroid-shift, 4 tasks told", "robust", 0.1, 111).config
    assert (told.tasks, told.robust_clustering, told.attack) == (4, 0.4, "centroid-shift")


def record(part: str, attack: str, answer: str, share: float, seed: int, **measured: Any) -> dict[str, Any]:
    names = dict(zip(("part", "attack", "answer", "share", "seed"), (part, attack, answer, share, seed), strict=True))
    return names | {"measured": measured}


def test_tables_hold_means_over_seeds_and_say_what_was_refused() -> None:
    records = [
        record("updates", "sign-flip", "krum", 0.0, 1, score=0.5),
        record("updates", "noise", "krum", 0.4, 1, score=0.2),
        record("updates", "noise", "krum", 0.4, 2, score=None, refused="too few"),
        record("updates", "scale", "krum", 0.4, 2, score=None, refused="too few"),
    ]
    lines = tables("updates", records)
    assert "| noise | krum | 0.500 (1 of 2 seeds) |  |  |  | 0.200 (1 refused) |" in lines  # without attackers: one run
    assert "| scale | krum | 0.500 (1 of 2 seeds) |  |  |  | refused |" in lines


def test_the_page_has_the_marks() -> None:
    text = (ROOT / "docs" / "results" / "attacks.md").read_text(encoding="utf-8")
    assert all(
        text.index(f"<!-- attacks {part} -->") < text.index(f"<!-- end of attacks {part} -->") for part in grid.PARTS
    )


def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Any) -> None:
    asked: list[float] = []

    def measured(config: RunConfig, backbone: Any) -> dict[str, float]:
        asked.append(config.attackers)
        return {"score": 0.5}

    class NoBackbone:
        def __init__(self, *_: Any) -> None:
            pass

        def save(self) -> None:
            pass

    monkeypatch.setattr(attacks, "answered", measured)
    monkeypatch.setattr(attacks, "FirstRoundBackbone", NoBackbone)
    for most in ("2", "3"):
        monkeypatch.setattr(sys, "argv", ["attacks.py", "updates", "--out", str(tmp_path), "--most", most])
        attacks.main()
    lines = [json.loads(line) for line in (tmp_path / "updates.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(asked) == 5
    assert [line["answer"] for line in lines] == list(grid.ANSWERS[grid.UPDATES])


def test_what_is_measured(micro_config: Any, backbone: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "TESTED", 8)
    quick = {"rounds": 1, "local_steps": 1, "attackers": 0.25}
    found = measure.answered(micro_config(attack="backdoor", **quick), backbone)
    assert 0 <= found["score"] <= 1 and 0 <= found["backdoor"] <= 1  # type: ignore[operator]
    refused = measure.answered(micro_config(aggregation="krum", option=("attackers=0.4",), **quick), backbone)
    assert refused["score"] is None and "--aggregation krum" in str(refused["refused"])
    found = measure.clustered(micro_config(attack="centroid-shift", **quick), backbone)
    assert set(found) == {"ari", "routing", "tasks"} and 0 <= found["routing"] <= 1  # type: ignore[operator]


def test_a_first_round_is_trained_once(micro_config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []

    def counting(self: Backbone, *given: Any) -> Any:
        trained.append(1)
        return train(self, *given)

    train = Backbone.train
    monkeypatch.setattr(Backbone, "train", counting)
    monkeypatch.setattr(measure, "TESTED", 8)
    backbone = FirstRoundBackbone(micro_config(), tmp_path / "rows.safetensors")
    config = micro_config(rounds=2, local_steps=1)
    counts, found = [], []
    for one in (backbone, backbone, Backbone(config)):
        found.append(measure.answered(config, one))
        counts.append(len(trained))
        trained.clear()
    assert found[0] == found[1] == found[2]
    assert counts == [counts[0], counts[0] // 2, counts[0]]  # of two rounds, the second time the second alone
