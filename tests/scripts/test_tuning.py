"""Tuning by validation rows: what is tried, that it goes on where it was, and which run is chosen."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tuning

PLAN = """
seeds = [111]
[settings]
model = "tiny-gpt2"
clients = 4
rounds = 3
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "own.toml"
    file.write_text(PLAN, encoding="utf-8")
    return file


def curve(*losses: float) -> list[dict[str, float]]:
    return [{"round": 2 * i, "steps": 4, "loss": loss, "seconds": 1.0} for i, loss in enumerate(losses, 1)]


def test_every_method_gets_the_same_grid_and_the_rest_is_the_plans(plan: Path) -> None:
    found = list(tuning.configs(plan, "rows", ["fedavg", "local"], [0.1, 0.2], "dual", 7, None))
    assert [(one.method, one.lr) for one in found] == [("fedavg", 0.1), ("fedavg", 0.2), ("local", 0.1), ("local", 0.2)]
    assert {(one.clients, one.rounds, one.data, one.seed, one.eval_every) for one in found} == {(4, 3, "rows", 7, 1)}
    [more] = tuning.configs(plan, "rows", ["local"], [0.1], "dual", 7, 2)
    assert more.clients == 2
    plan.write_text(PLAN.replace("rounds = 3", "rounds = 8"), encoding="utf-8")
    assert next(tuning.configs(plan, "rows", ["local"], [0.1], "dual", 7, None)).eval_every == 2
    with pytest.raises(tuning.UserError, match="--seed 111"):
        list(tuning.configs(plan, "rows", ["fedavg"], [0.1], "dual", 111, None))


def test_the_lowest_loss_of_any_round_is_chosen_for_each_method() -> None:
    records: list[dict[str, Any]] = [
        {"method": "fedavg", "lr": 0.1, "measured": curve(3.0, 2.0, 2.5)},
        {"method": "fedavg", "lr": 0.2, "measured": curve(2.9, 2.4, 2.3)},
        {"method": "local", "lr": 0.1, "measured": curve(4.0)},
    ]
    assert [(row[0], row[1], row[2], row[-1]) for row in tuning.rows_of(records)] == [
        ("fedavg", "0.1", "4 of 6", "yes"),
        ("fedavg", "0.2", "6 of 6", ""),
        ("local", "0.1", "2 of 2", "yes"),
    ]


def test_it_goes_on_where_it_was(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, float]] = []

    def measured(config: Any, backbone: Any, answers: bool) -> list[dict[str, float]]:
        asked.append((config.method, config.lr))
        return curve(config.lr)

    monkeypatch.setattr(tuning, "measured", measured)
    monkeypatch.setattr(
        tuning,
        "RememberingBackbone",
        lambda config, file: SimpleNamespace(save=lambda: None, serves=lambda config: True),
    )
    page = tmp_path / "page.md"
    page.write_text("<!-- tuning own -->\n<!-- end of tuning own -->\n", encoding="utf-8")
    given = [str(plan), "--data", "rows", "--methods", "local", "--rates", "0.2", "0.1", "--out", str(tmp_path / "out")]
    for most in ("1", "5"):
        monkeypatch.setattr(sys, "argv", ["tuning.py", *given, "--most", most, "--markdown", str(page)])
        tuning.main()
    assert asked == [("local", 0.2), ("local", 0.1)]
    assert "| local | 0.1 | 2 of 2 | 0.100 |" in page.read_text(encoding="utf-8")
