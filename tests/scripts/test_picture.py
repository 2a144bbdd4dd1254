"""The README's picture."""

import json
import sys

import picture


def test_it_shows_the_summary_and_fetches_nothing(monkeypatch, tmp_path):
    cost = {
        "bytes_up": 1,
        "bytes_down": 1,
        "optimizer_steps": 2,
        "tokens_trained": 3,
        "seconds": {},
        "peak_memory_bytes": 4,
    }
    scores = dict.fromkeys(("rouge1_per_task", "rouge1_base_per_task", "rouge1_per_cell", "rouge1_base"))
    found = dict.fromkeys(("routing_accuracy", "ari_local", "ari_global"))
    run = {"method": "fedavg", "split": "dual", "clients": 2, "seed": 1, "rouge1": 0.123}
    (tmp_path / "summary.json").write_text(json.dumps(run | scores | found | cost))
    monkeypatch.setattr(sys, "argv", ["picture.py", str(tmp_path), str(tmp_path / "table.svg")])
    picture.main()
    svg = (tmp_path / "table.svg").read_text()
    assert "0.123" in svg and "url(http" not in svg
