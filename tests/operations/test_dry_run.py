"""`train --dry-run`: what a run will cost and how its prompts look, with nothing trained and nothing written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.operations.dry_run import dry_run
from fedrouter_sim.report.tables import cost_table

ConfigMaker = Callable[..., RunConfig]


def test_a_dry_run_says_what_the_run_would(micro_config: ConfigMaker) -> None:
    found = dry_run(micro_config())
    cost = found.cost
    assert (cost.steps, cost.adapters, cost.dtype, cost.device) == (32, 4, "float32", "cpu")
    assert cost.answers == 2 * 4 * (4 + 4) + 2 * 4 * 4  # and on all tasks the bare backbone and oracle routing
    assert cost_table(cost).row_count == 8
    assert len({shown.task for shown in found.prompts}) == len(found.prompts) == 3
    assert all(shown.learnt.endswith("<|endoftext|>") for shown in found.prompts)


def test_every_sample_is_answered_once_for_each_routing(micro_config: ConfigMaker) -> None:
    assert dry_run(micro_config(method="fedavg")).cost.answers == 4 * (4 + 4) + 4 * 4
    drifting = dry_run(micro_config(method="fedavg", drift_at=1, drift_to="single"))
    assert drifting.cost.answers == 4 * (4 + 4 + 4) + 4 * 4
    assert dry_run(micro_config(method="base")).cost.train_seconds is None


METHOD = """
from fedrouter_sim.methods.fedavg import FedAvg


class Own(FedAvg):
    name = "own"

    def __init__(self, few: int = 1):
        self.few = few

    def plan(self, federation):
        if self.few > 1:
            raise RuntimeError(f"{self.few} are too many")
        return super().plan(federation)
"""


def test_an_own_method_gets_its_options(micro_config: ConfigMaker, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(METHOD, encoding="utf-8")
    name = f"{tmp_path / 'mine.py'}:Own"
    assert dry_run(micro_config(method=name)).cost.adapters == 1
    with pytest.raises(RuntimeError, match="2 are too many"):
        dry_run(micro_config(method=name, option=("few=2",)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "magic"}, "--method magic: choose one of"),
        ({"data": "nowhere"}, "--data nowhere"),
        ({"option": ("few=1",)}, "--option few=1: is no option"),
        ({"tasks": 99}, "--tasks 99 is more than"),
        ({"min_participants": 99}, "--min-participants 99: a round has 4 clients at most"),
    ],
)
def test_what_could_not_be_trained_is_refused(micro_config: ConfigMaker, changes: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        dry_run(micro_config(**changes))
