"""Sharing in whole runs: no byte more, and after an interruption the same bytes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from some_adapters import same

from fedrouter_sim.config import RunConfig
from fedrouter_sim.federation.observers import Display
from fedrouter_sim.operations.train import train

QUICK = {"rounds": 2, "local_steps": 2}

ALL_ALIKE = """
from fedrouter_sim import Sharing


class One(Sharing):
    name = "one"

    def shared(self, round_):
        return dict.fromkeys(round_.means, next(iter(round_.means.values())))
"""


def test_the_users_own_rule_decides_what_task_adapters_are_and_sends_no_byte_more(
    run_method: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "one.py").write_text(ALL_ALIKE, encoding="utf-8")
    apart = run_method("oracle", sharing="none", **QUICK)
    one = run_method("oracle", sharing=f"{tmp_path / 'one.py'}:One", **QUICK)
    first, *others = one.outcome.adapters.values()
    assert len(others) == 3 and all(same(first, other) for other in others)
    assert not same(*list(apart.outcome.adapters.values())[:2])
    assert one.outcome.traffic == apart.outcome.traffic


def test_a_method_whose_pools_are_no_tasks_shares_nothing(run_method: Callable[..., Any]) -> None:
    quick = QUICK | {"warmup_rounds": 1}
    for method in ("local", "clustered"):
        plain, told = (run_method(method, sharing=rule, **quick) for rule in ("none", "affinity"))
        for pool, adapter in plain.outcome.adapters.items():
            assert same(adapter, told.outcome.adapters[pool])


class Stops(Display):
    """Stops the run as it hears of an update, by its number."""

    def __init__(self, at: int) -> None:
        self.left = at

    def received(self, update: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_what_a_rule_keeps_survives_an_interruption(
    micro_config: Callable[..., RunConfig],
    tmp_path: Path,
    backbone: Any,
    trained_bytes: Callable[[Path], dict[str, bytes]],
) -> None:
    config = micro_config(method="oracle", sharing="affinity", rounds=2, local_steps=2, test_examples_per_client=1)
    train(config, tmp_path / "whole", backbone=backbone)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", display=Stops(8 + 3), backbone=backbone)
    assert list(tmp_path.glob(".run.partial/checkpoint/round-000001/sharing.safetensors"))
    train(config, tmp_path / "run", backbone=backbone, resume=True)
    assert trained_bytes(tmp_path / "run") == trained_bytes(tmp_path / "whole")
