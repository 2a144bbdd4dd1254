"""The card of an exported adapter says what it is, and nothing that was to stay."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.operations.export import export
from fedrouter_sim.operations.train import train
from fedrouter_sim.runs.card import answers_by_mixtures
from fedrouter_sim.runs.reader import Run

ConfigMaker = Callable[..., RunConfig]


def cards(folder: Path, out: Path) -> list[str]:
    return [(place / "README.md").read_text(encoding="utf-8") for place in export(folder, out).folders.values()]


def test_the_card_says_what_it_is(finished_run: Path, micro_model: Path, tmp_path: Path) -> None:
    run = Run(finished_run)
    for merged, kind in ((True, "merged into its weights"), (False, "a LoRA adapter (PEFT)")):
        done = export(run, tmp_path / str(merged), merged=merged, pools=["task_1"])
        card = (done.folders["task_1"] / "README.md").read_text(encoding="utf-8")
        assert run.truth is not None
        [(label, count)] = [max(run.truth.pools["task_1"].items(), key=lambda item: item[1])]
        known = (kind, f"`{micro_model}`", run.manifest["backbone_sha256"], f"{label} {count}", "rank 2, alpha 4")
        assert all(text in card for text in (*known, "    {instruction}\n", "4 clients, 2 rounds, seed 1"))
        assert "end with EOS" in card and "mixtures" not in card


def test_with_differential_privacy_neither_the_seed_nor_counts_of_rows_go_out(
    micro_config: ConfigMaker, tmp_path: Path
) -> None:
    pytest.importorskip("opacus")
    run = train(micro_config(method="fedavg", dp_epsilon=8.0, seed=77), tmp_path / "run").folder
    truth = Run(run).truth
    assert truth is not None
    [card] = cards(run, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "export.json").read_text(encoding="utf-8"))
    assert "seed" not in record and "seed" not in card and "77" not in card.replace(record["backbone_sha256"], "")
    assert not any(label in card for label in truth.pools["global"])
    assert "epsilon 8, delta 1e-05" in card


def test_the_card_of_a_run_that_mixes_says_so(micro_config: ConfigMaker, tmp_path: Path) -> None:
    run = train(micro_config(method="feddpa"), tmp_path / "run").folder
    assert answers_by_mixtures(Run(run))
    assert all("answers by mixtures of its adapters" in card for card in cards(run, tmp_path / "out"))
