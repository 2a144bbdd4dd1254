"""What the last sharing went by, in a run folder, and sharing again from there."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from some_adapters import random_adapter, same
from some_rounds import close

from fedrouter_sim.adapters.folders import save_adapter
from fedrouter_sim.adapters.sharing.rule import SharedRound, Sharing
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.sharing import SharedFrom, TaskSharing
from fedrouter_sim.runs.layout import SHARED_NAME
from fedrouter_sim.runs.sharing import load_shared, save_shared, shared_again
from fedrouter_sim.runs.updates import StoredUpdate

STARTS = {"task_0": random_adapter(1), "task_1": random_adapter(2)}
CONFIG = RunConfig(rounds=9)
SHAPES = {key: tuple(value.shape) for key, value in random_adapter(0).items()}
BY = SharedFrom(3, STARTS, {"task_0": {"task_0": torch.ones(3, dtype=torch.float64)}})


class Told(Sharing):
    """Keeps what it was told, and leaves all as it is."""

    name = "told"

    def shared(self, round_: SharedRound) -> Mapping[str, Adapter]:
        self.round, self.before = round_, self.memory
        return round_.means


def update(folder: Path, client: int, pool: str, examples: int) -> StoredUpdate:
    own = folder / f"{client}-{pool}"
    save_adapter(own, random_adapter(10 + client), {"peft_type": "LORA", "r": 3, "lora_alpha": 3})
    return StoredUpdate(own, client, 0, 3, examples, (0,), pool=pool)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert load_shared(tmp_path, SHAPES) is None
    save_shared(tmp_path, BY)
    found = load_shared(tmp_path, SHAPES)
    assert found is not None and found.round == 3 and list(found.starts) == list(STARTS)
    assert all(same(found.starts[pool], start) for pool, start in STARTS.items())
    assert torch.equal(found.memory["task_0"]["task_0"], BY.memory["task_0"]["task_0"])
    assert found.memory["task_0"]["task_0"].dtype == torch.float64


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"starts/task_1/more": torch.ones(1)}, "1 tensors too many"),
        ({"others/task_1/x": torch.ones(1)}, "'others/task_1/x'"),
        ({"round": torch.ones(2, dtype=torch.int64)}, "round must be whole numbers"),
        ({"memory/a/b": torch.tensor([torch.nan])}, "not finite"),
    ],
)
def test_a_damaged_file_is_refused(change: dict[str, torch.Tensor], words: str, tmp_path: Path) -> None:
    save_shared(tmp_path, BY)
    path = tmp_path / SHARED_NAME
    save_file(load_file(path) | change, path)
    with pytest.raises(UserError, match=words):
        load_shared(tmp_path, SHAPES)


def test_a_task_of_training_without_updates_is_as_it_was_before_the_round(tmp_path: Path) -> None:
    rule = Told()
    after = {"task_0": random_adapter(3), "task_1": random_adapter(4)}  # the idle one had taken of the others since
    shared_again(BY, TaskSharing(rule, CONFIG), [update(tmp_path, 0, "task_0", 5)], lambda one: str(one.pool), after)
    assert rule.round.starts["task_1"] is rule.round.means["task_1"] is STARTS["task_1"]
    assert list(rule.round.changes) == ["task_0"]


def test_tasks_of_training_begin_where_they_began_with_what_the_rule_kept(tmp_path: Path) -> None:
    updates = [update(tmp_path, 0, "task_0", 5), update(tmp_path, 1, "task_1", 7)]
    means = {"task_0": random_adapter(3), "task_1": random_adapter(4)}
    rule = Told()
    found = shared_again(BY, TaskSharing(rule, CONFIG), updates, lambda one: str(one.pool), means)
    assert found == means
    assert (rule.round.number, rule.round.rounds, rule.round.held) == (3, 9, [{"task_0": 5.0}, {"task_1": 7.0}])
    assert rule.before == BY.memory and rule.round.starts["task_0"] is STARTS["task_0"]
    assert list(rule.round.changes) == ["task_0", "task_1"]
    assert set(rule.round.squares) == {"task_0", "task_1"}


def test_other_tasks_begin_at_the_mean_of_their_updates_starts_and_forget(tmp_path: Path) -> None:
    updates = [update(tmp_path, 0, "task_0", 1), update(tmp_path, 1, "task_1", 3)]
    rule = Told()
    shared_again(BY, TaskSharing(rule, CONFIG), updates, lambda one: "task_0", {"task_0": random_adapter(3)})
    middle = {key: (STARTS["task_0"][key] + 3 * STARTS["task_1"][key]) / 4 for key in SHAPES}
    assert close(rule.round.starts["task_0"], middle) and rule.before == {}
