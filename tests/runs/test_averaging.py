"""Averaging stored updates: which of the two means, with what weights and scales, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.folders import LoraScale, save_adapter
from fedrouter_sim.adapters.state import Adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.averaging import average_by_task, with_heirs
from fedrouter_sim.runs.updates import StoredUpdate

A, B = "m.lora_A.weight", "m.lora_B.weight"


def adapter(seed: int, rank: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {A: torch.randn(rank, 5, generator=generator), B: torch.randn(7, rank, generator=generator)}


def product(of: Adapter) -> torch.Tensor:
    return of[B].double() @ of[A].double()


def store(
    folder: Path, number: int, examples: int, initial: str | None = "same", rank: int = 2, alpha: float = 4.0
) -> StoredUpdate:
    save_adapter(folder / str(number), adapter(number, rank), {"peft_type": "LORA", "r": rank, "lora_alpha": alpha})
    return StoredUpdate(folder / str(number), number, 0, 1, examples, (), initial)


def by_parity(update: StoredUpdate) -> int:
    return update.client % 2


def test_one_beginning_is_averaged_factor_by_factor(tmp_path: Path) -> None:
    updates = [store(tmp_path, number, examples=number + 1) for number in range(5)]
    done = average_by_task(updates, by_parity, 3, None, LoraScale(2, 2.0))
    assert (done.aggregation, done.updates_per_task, done.errors) == ("mean", [3, 2, 0], {})
    assert "same initial adapter" in done.reason
    for task, members in ((0, (0, 2, 4)), (1, (1, 3))):
        mean = WeightedMean()
        for number in members:
            mean.add(adapter(number, 2), number + 1)
        assert all(torch.equal(done.adapters[task][key], value) for key, value in mean.result().items())


@pytest.mark.parametrize(
    ("initial", "reason"), [("other", "2 different initial adapters"), (None, "not every update says")]
)
def test_other_or_unknown_beginnings_are_averaged_by_products(tmp_path: Path, initial: str | None, reason: str) -> None:
    updates = [store(tmp_path, 0, 3), store(tmp_path, 1, 9, initial)]
    done = average_by_task(updates, lambda update: 0, 1, None, LoraScale(2, 2.0))
    assert done.aggregation == "product"
    assert reason in done.reason
    chosen = average_by_task(updates, lambda update: 0, 1, "product", LoraScale(2, 2.0))
    assert (chosen.errors, chosen.reason) == (done.errors, "as --aggregation says")
    assert all(torch.equal(value, chosen.adapters[0][key]) for key, value in done.adapters[0].items())


def test_ranks_and_alphas_that_differ_count_as_they_act(tmp_path: Path) -> None:
    """Each acts as (alpha / r) B A, and so does the result."""
    updates = [store(tmp_path, 0, 1, rank=2, alpha=4), store(tmp_path, 1, 3, rank=1, alpha=8)]
    done = average_by_task(updates, lambda update: 0, 1, None, LoraScale(3, 0.5))
    assert (done.aggregation, done.errors[0] < 1e-6) == ("product", True)  # rank 3 holds it whole
    assert "ranks or scales differ" in done.reason
    expected = (1 * 2.0 * product(adapter(0, 2)) + 3 * 8.0 * product(adapter(1, 1))) / 4
    torch.testing.assert_close(0.5 * product(done.adapters[0]), expected, rtol=1e-4, atol=1e-5)


def test_an_own_rule_that_cannot_add_an_update_is_one_line(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "from fedrouter_sim.adapters.aggregation.mean import WeightedMean\n\n\n"
        "class Unable(WeightedMean):\n    name = 'unable'\n\n"
        "    def add(self, adapter, weight):\n        raise KeyError('lora_C')\n",
        encoding="utf-8",
    )
    rule, updates = f"{own}:Unable", [store(tmp_path, 0, 3)]
    with pytest.raises(UserError, match=rf"^--aggregation {rule}: could not add {updates[0].folder} \(KeyError: "):
        average_by_task(updates, by_parity, 1, rule, LoraScale(2, 2.0))


def test_the_choice_of_the_user_holds(tmp_path: Path) -> None:
    updates = [store(tmp_path, 0, 3), store(tmp_path, 1, 9)]
    by_products = average_by_task(updates, lambda update: 0, 1, "product", LoraScale(2, 2.0))
    assert by_products.aggregation == "product"
    dense = (3 * product(adapter(0, 2)) + 9 * product(adapter(1, 2))) / 12
    left, values, right = torch.linalg.svd(dense, full_matrices=False)
    nearest = left[:, :2] * values[:2] @ right[:2]
    torch.testing.assert_close(product(by_products.adapters[0]), nearest, rtol=1e-4, atol=1e-5)
    assert by_products.errors[0] == pytest.approx(float((dense - nearest).norm() / dense.norm()), rel=1e-4)
    others = [store(tmp_path, 0, 3, "one"), store(tmp_path, 1, 9, "two")]
    assert average_by_task(others, lambda update: 0, 1, "mean", LoraScale(2, 2.0)).aggregation == "mean"


def test_factors_of_different_ranks_are_refused_by_folder(tmp_path: Path) -> None:
    updates = [store(tmp_path, 0, 3), store(tmp_path, 1, 9, rank=1)]
    with pytest.raises(UserError, match=rf"--aggregation mean: {tmp_path / '1'} has another rank or alpha"):
        average_by_task(updates, lambda update: 0, 1, "mean", LoraScale(2, 2.0))


def test_an_adapter_that_does_not_fit_is_refused_by_folder(tmp_path: Path) -> None:
    updates = [store(tmp_path, 0, 3), store(tmp_path, 1, 9)]
    wrong = {A: torch.zeros(2, 6), B: torch.zeros(7, 2)}
    save_adapter(updates[1].folder, wrong, {"peft_type": "LORA", "r": 2, "lora_alpha": 4})
    for aggregation in ("mean", "product"):
        with pytest.raises(UserError, match=rf"{tmp_path / '1'}: cannot be averaged with the others") as caught:
            average_by_task(updates, lambda update: 0, 1, aggregation, LoraScale(2, 2.0))
        assert "\n" not in str(caught.value)


MEDIAN = """
import torch

from fedrouter_sim import Aggregation


class Median(Aggregation):
    name = "own-median"

    def __init__(self, rank, scale: float = 1.0):
        super().__init__(rank)
        self.scale, self.adapters = scale, []

    def add(self, adapter, weight):
        if any(one[key].shape != adapter[key].shape for one in self.adapters for key in one):
            raise ValueError("shapes differ")
        self.adapters.append(adapter)

    def result(self):
        stacked = {key: torch.stack([one[key] for one in self.adapters]) for key in self.adapters[0]}
        return {key: self.scale * value.median(0).values for key, value in stacked.items()}
"""


@pytest.fixture
def median(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(MEDIAN, encoding="utf-8")
    return f"{tmp_path / 'mine.py'}:Median"


def test_a_rule_of_the_users_averages_with_its_options(tmp_path: Path, median: str) -> None:
    updates = [store(tmp_path, number, examples=number + 1) for number in range(3)]
    done = average_by_task(updates, lambda update: 0, 1, median, LoraScale(2, 2.0), {"scale": "2"})
    assert (done.aggregation, done.errors, done.updates_per_task) == (median, {}, [3])
    assert done.reason == "as --aggregation says"
    for key, value in done.adapters[0].items():
        stacked = torch.stack([adapter(number, 2)[key] for number in range(3)])
        assert torch.equal(value, 2 * stacked.sort(0).values[1])
    odd = [*updates[:2], store(tmp_path, 2, 3, rank=1)]
    with pytest.raises(UserError, match=rf"--aggregation .*Median: {tmp_path / '2'} has another rank .* product$"):
        average_by_task(odd, lambda update: 0, 1, median, LoraScale(2, 2.0))


def test_an_unknown_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--aggregation mode: choose one of mean, product"):
        average_by_task([store(tmp_path, 0, 3)], lambda update: 0, 1, "mode", LoraScale(2, 2.0))


def test_a_task_without_updates_inherits_from_the_nearest_source() -> None:
    centroids = np.array([[0, 0], [10, 0], [20, 0]], dtype=np.float32)
    sources = np.array([[19, 1], [1, 1]], dtype=np.float32)
    olds = {4: adapter(4, 2), 7: adapter(7, 2)}
    own = {1: adapter(1, 2)}
    adapters, inherited = with_heirs(own, centroids, [4, 7], sources, olds.__getitem__)
    assert list(adapters) == ["task_0", "task_1", "task_2"]
    assert inherited == {"task_0": "task_7", "task_2": "task_4"}
    assert adapters == {"task_0": olds[7], "task_1": own[1], "task_2": olds[4]}
    assert with_heirs(dict.fromkeys(range(3), own[1]), centroids, [4], sources[:1], olds.__getitem__)[1] == {}


def test_krum_names_the_task_that_has_too_few_updates(tmp_path: Path) -> None:
    updates = [store(tmp_path, number, 3) for number in range(3)]
    with pytest.raises(UserError, match=r"^task_0: --aggregation krum: a pool has 3 updates and needs 5, "):
        average_by_task(updates, lambda update: 0, 1, "krum", LoraScale(2, 2.0))
    done = average_by_task(updates, lambda update: 0, 1, "krum", LoraScale(2, 2.0), {"attackers": "0"})
    assert (done.aggregation, done.updates_per_task) == ("krum", [3])
