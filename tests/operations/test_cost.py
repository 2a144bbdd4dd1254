"""What a run will cost, against what it then does cost."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.config import RunConfig
from fedrouter_sim.methods import METHODS
from fedrouter_sim.operations.cost import Cost, dry_run, estimate_cost
from fedrouter_sim.operations.train import Display, train
from fedrouter_sim.report.tables import cost_line, cost_table

ConfigMaker = Callable[..., RunConfig]


def estimated(federate: Any, method: str, **changes: Any) -> Cost:
    federation = federate(method=method, **changes)
    return estimate_cost(federation, METHODS[method].plan(federation), 10)


@pytest.mark.parametrize("method", ["fedrouter", "fedavg", "local", "ditto", "central"])
@pytest.mark.parametrize("budget", ["shared", "per-group"])
def test_steps_and_tokens_are_those_of_the_run(federate: Any, run_method: Any, method: str, budget: str) -> None:
    cost = estimated(federate, method, budget=budget)
    records = run_method(method, budget=budget).outcome.records
    assert cost.steps == sum(record.steps for record in records)
    assert cost.tokens == pytest.approx(sum(record.tokens for record in records), rel=0.15)
    assert cost.seconds_per_step is not None and cost.train_seconds is not None and not cost.more_follows


def test_with_partial_participation_it_is_what_is_to_be_expected(federate: Any) -> None:
    whole, half = estimated(federate, "fedavg"), estimated(federate, "fedavg", participation=0.5)
    assert half.steps == whole.steps / 2 and half.tokens == pytest.approx(whole.tokens / 2, abs=1)


@pytest.mark.parametrize("method", ["clustered", "feddpa"])
def test_a_later_plan_is_said_to_follow(federate: Any, method: str) -> None:
    cost = estimated(federate, method)
    assert cost.more_follows and "plans more later" in cost_line(cost)


def test_the_bare_backbone_trains_nothing(federate: Any) -> None:
    cost = estimated(federate, "base")
    assert (cost.steps, cost.tokens, cost.adapters, cost.train_seconds) == (0, 0, 0, None)
    assert "nothing to train" in cost_line(cost)


def test_the_sizes_are_those_of_the_adapter_that_is_sent(federate: Any, run_method: Any) -> None:
    cost = estimated(federate, "fedavg")
    [record] = run_method("fedavg", rounds=1).outcome.records
    assert cost.adapter_bytes * 4 == record.bytes_up and cost.adapter_parameters * 4 == cost.adapter_bytes
    assert cost.parameters == 46_464  # 2 blocks of 12,704, 256 positions and 400 tokens of 32, a norm of 64


def test_measuring_a_step_changes_no_byte_of_the_run(
    micro_config: ConfigMaker, tmp_path: Path, trained_bytes: Any
) -> None:
    class Curious(Display):
        cost: Cost | None = None

        def before_training(self, cost: Callable[[], Cost]) -> None:
            self.cost = cost()

    curious = Curious()
    train(micro_config(rounds=1), tmp_path / "one", display=curious)
    train(micro_config(rounds=1), tmp_path / "two")
    assert curious.cost is not None and curious.cost.steps == 16
    assert trained_bytes(tmp_path / "one") == trained_bytes(tmp_path / "two")


def test_a_dry_run_says_what_the_run_would(micro_config: ConfigMaker) -> None:
    cost = dry_run(micro_config())
    assert (cost.steps, cost.adapters, cost.dtype, cost.device) == (32, 4, "float32", "cpu")
    assert cost.answers == 2 * 4 * (4 + 4)
    assert cost_table(cost).row_count == 8
