"""A small plan of a study."""

from pathlib import Path

PLAN = """
title = "Two methods"
seeds = [1, 2]

[settings]
clients = 3
rounds = 1
local_steps = 2
batch_size = 2
examples_per_client = 12
test_examples_per_client = 3

[[runs]]
split = "dual"
methods = ["base", "fedavg"]

[[runs]]
split = "single"
methods = ["fedavg"]
seeds = [2, 3]
settings = { local_clusters = 1 }

[[claims]]
says = "fedavg is above the backbone"
method = "fedavg"
baseline = "base"
split = "dual"
test_data = "all"
least = 0.01
"""


def written(folder: Path, text: str = PLAN) -> Path:
    """Write a plan; return its path."""
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path
