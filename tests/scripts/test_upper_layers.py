"""The study of upper layers: its grid, that it goes on where it was, its table and its picture."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import upper_layers
import validated
from layering import grid
from layering.show import best_rates, lines_of, of_whole_seeds, points, write_figure

from fedrouter_sim.config import RunConfig

ROOT = Path(__file__).resolve().parents[2]
TUNED = len(grid.TARGETS) * len(grid.RATES)


def record(layers: int, targets: str, seed: int, steps: int = 80, **measured: float) -> dict[str, Any]:
    names = {"layers": layers, "targets": targets, "steps": grid.STEPS, "lr": 2e-3, "seed": seed}
    return names | {"measured": [{"steps": steps, "score": 0.5, "loss": 1.0, "seconds": 10.0} | measured]}


def test_rates_are_chosen_on_other_seeds_than_those_compared() -> None:
    tuned = list(grid.tuning())
    assert len({trial.key for trial in tuned}) == len(tuned) == TUNED
    rates = {trial.targets: trial.lr for trial in tuned}
    wanted = list(grid.compared(rates))
    assert len({trial.key for trial in wanted}) == len(wanted)
    assert len(wanted) == len(grid.LAYERS) * len(grid.TARGETS) * len(grid.SEEDS)
    assert not {trial.seed for trial in tuned} & {trial.seed for trial in wanted}


def test_settings_follow_the_trial() -> None:
    config = grid.Trial(6, "all linear", 20, 1e-3, 8).config("rows")
    assert (config.lora_layers, config.local_steps, config.lr, config.seed, config.data) == (6, 20, 1e-3, 8, "rows")
    assert len(config.lora_targets or ()) == 7


def test_the_rate_with_the_lowest_loss_is_taken() -> None:
    records = [record(0, "q, v", 7, loss=1.0), record(0, "q, v", 7, loss=0.9) | {"lr": 5e-3}]
    assert best_rates(records) == {"q, v": 5e-3}


def test_only_seeds_that_every_way_has_are_shown() -> None:
    records = [record(0, "q, v", 8), record(6, "q, v", 8), record(0, "q, v", 9)]
    assert of_whole_seeds(records) == records[:2]
    assert of_whole_seeds([]) == []


def test_a_way_leads_where_nothing_as_quick_has_a_lower_loss(tmp_path: Path) -> None:
    records = [
        record(10, "q, v", 8, seconds=10.0, loss=1.0, score=0.4),
        record(10, "q, v", 9, seconds=20.0, loss=0.8, score=0.5),
        record(0, "q, v", 8, seconds=30.0, loss=0.95),
        record(3, "all linear", 8, seconds=40.0, loss=0.7),
        record(3, "all linear", grid.TUNED_WITH, seconds=1.0, loss=0.1),  # that seed is for learning rates
    ]
    assert [(one["layers"], one["leads"]) for one in points(records)] == [(10, True), (0, False), (3, True)]
    lines = lines_of(records)
    assert lines[2] == "| 10 | q, v | 80 | 0.002 | 0.450 | 0.900 | 15 | yes | 2 |"
    assert lines[3].startswith("| all | q, v | 80 |")
    write_figure(tmp_path / "figures" / "layers.svg", records)
    assert "training seconds" in (tmp_path / "figures" / "layers.svg").read_text(encoding="utf-8")


def test_the_page_has_the_marks() -> None:
    text = (ROOT / "docs" / "results" / "layers.md").read_text(encoding="utf-8")
    assert text.index("<!-- layers score -->") < text.index("<!-- end of layers score -->")


def test_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float, int]] = []

    def measured(config: Any, backbone: Any) -> list[dict[str, float]]:
        asked.append((config.lora_layers, config.lr, config.seed))
        return [{"steps": 80, "score": 0.5, "loss": config.lr, "seconds": 1.0}]

    monkeypatch.setattr(upper_layers, "measured", measured)
    monkeypatch.setattr(upper_layers, "RememberingBackbone", lambda config, file: SimpleNamespace(save=lambda: None))
    for most in (4, TUNED - 4 + 2, 1):
        given = ["--data", "rows", "--out", str(tmp_path), "--most", str(most), "--markdown", str(tmp_path / "page.md")]
        monkeypatch.setattr(sys, "argv", ["upper_layers.py", *given])
        upper_layers.main()
    assert len(asked) == TUNED + 3
    assert asked[TUNED:] == [(layers, min(grid.RATES), grid.SEEDS[0]) for layers in (0, 0, 10)]
    assert "| yes |" in (tmp_path / "page.md").read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["upper_layers.py", "--out", str(tmp_path)])
    with pytest.raises(upper_layers.UserError, match="--data"):
        upper_layers.main()


def test_what_is_measured(micro_config: Callable[..., RunConfig], backbone: Any) -> None:
    config = micro_config(rounds=2, local_steps=1, eval_every=1)
    first, second = validated.measured(config, backbone)
    assert set(first) == {"round", "steps", "score", "loss", "seconds"} and 0 <= first["score"] <= 1 < first["loss"]
    assert [point["round"] for point in (first, second)] == [1, 2]
    assert (first["steps"], second["steps"]) == (config.clients, 2 * config.clients)
    assert 0 <= first["seconds"] <= second["seconds"]  # they are summed up
    alone, _ = validated.measured(config, backbone, answers=False)
    assert "score" not in alone and alone["loss"] == pytest.approx(first["loss"], abs=1e-5)


def test_data_without_validation_rows_are_refused(
    micro_config: Callable[..., RunConfig], backbone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = validated.partition_data
    monkeypatch.setattr(validated, "partition_data", lambda config: replace(whole(config), validation=()))
    with pytest.raises(upper_layers.UserError, match="no validation rows; give one file"):
        validated.measured(micro_config(eval_every=1), backbone)
