"""What privacy costs: which runs are planned, and their table."""

from pathlib import Path

import privacy
import pytest


def test_the_plan_has_every_epsilon_with_both_numbers_of_clients() -> None:
    study = privacy.planned(privacy.PLAN, None, [])
    found = {(run.config.method, run.config.clients, run.config.dp_epsilon) for run in study.runs}
    assert found == {(m, n, e) for m in ("fedavg", "fedrouter") for n in (40, 1000) for e in (0.0, 1.0, 4.0, 8.0)}
    assert len(study.runs) == len(found)
    some = privacy.planned(privacy.PLAN, 40, ["rounds=2", "data=elsewhere"]).runs
    assert len(some) == 8 and {(run.config.rounds, run.config.data) for run in some} == {(2, "elsewhere")}


def test_runs_are_trained_once_and_shown(
    micro_model: Path, micro_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, page = tmp_path / "plan.toml", tmp_path / "page.md"
    plan.write_text(
        f'title = "T"\nseeds = [1]\n[settings]\nmodel = "{micro_model}"\ndata = "{micro_data}"\ntemplate = "plain"\n'
        "max_tokens = 128\nrounds = 1\nlocal_steps = 1\nbatch_size = 2\ntest_examples_per_client = 1\nclients = 2\n"
        '[[runs]]\nsplit = "all"\nmethods = ["fedavg"]\nlabel = "a"\nsettings = { dp_epsilon = 8.0 }\n'
    )
    given = ["--plan", str(plan), "--out", str(tmp_path / "runs"), "--markdown", str(page)]
    privacy.main(given)
    assert "all-fedavg-a-seed1: " in capsys.readouterr().out
    [row] = [line for line in page.read_text().splitlines() if line.startswith("| fedavg")]
    assert row.startswith("| fedavg, 2 | 8 | 8.00 | 0.6")
    privacy.main([*given, "--only-show"])
    assert "all-fedavg-a-seed1: " not in capsys.readouterr().out
