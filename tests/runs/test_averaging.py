"""Averaging stored updates: which of the two means, with what weights and scales, and what is refused."""

from pathlib import Path

import pytest
import torch

from fedrouter_sim.adapters.state import Adapter, LoraScale, WeightedMean, save_adapter
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.averaging import average_by_task
from fedrouter_sim.runs.run_folder import StoredUpdate

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
    assert (done.average, done.updates_per_task, done.errors) == ("factors", [3, 2, 0], {})
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
    assert done.average == "product"
    assert reason in done.reason
    chosen = average_by_task(updates, lambda update: 0, 1, "product", LoraScale(2, 2.0))
    assert (chosen.errors, chosen.reason) == (done.errors, "as --average says")
    assert all(torch.equal(value, chosen.adapters[0][key]) for key, value in done.adapters[0].items())


def test_ranks_and_alphas_that_differ_count_as_they_act(tmp_path: Path) -> None:
    """Each acts as (alpha / r) B A, and so does the result."""
    updates = [store(tmp_path, 0, 1, rank=2, alpha=4), store(tmp_path, 1, 3, rank=1, alpha=8)]
    done = average_by_task(updates, lambda update: 0, 1, None, LoraScale(3, 0.5))
    assert (done.average, done.errors[0] < 1e-6) == ("product", True)  # rank 3 holds it whole
    assert "ranks or scales differ" in done.reason
    expected = (1 * 2.0 * product(adapter(0, 2)) + 3 * 8.0 * product(adapter(1, 1))) / 4
    torch.testing.assert_close(0.5 * product(done.adapters[0]), expected, rtol=1e-4, atol=1e-5)


def test_the_choice_of_the_user_holds(tmp_path: Path) -> None:
    updates = [store(tmp_path, 0, 3), store(tmp_path, 1, 9)]
    by_products = average_by_task(updates, lambda update: 0, 1, "product", LoraScale(2, 2.0))
    assert by_products.average == "product"
    dense = (3 * product(adapter(0, 2)) + 9 * product(adapter(1, 2))) / 12
    left, values, right = torch.linalg.svd(dense, full_matrices=False)
    nearest = left[:, :2] * values[:2] @ right[:2]
    torch.testing.assert_close(product(by_products.adapters[0]), nearest, rtol=1e-4, atol=1e-5)
    assert by_products.errors[0] == pytest.approx(float((dense - nearest).norm() / dense.norm()), rel=1e-4)
    others = [store(tmp_path, 0, 3, "one"), store(tmp_path, 1, 9, "two")]
    assert average_by_task(others, lambda update: 0, 1, "factors", LoraScale(2, 2.0)).average == "factors"


def test_factors_of_different_ranks_are_refused_by_folder(tmp_path: Path) -> None:
    updates = [store(tmp_path, 0, 3), store(tmp_path, 1, 9, rank=1)]
    with pytest.raises(UserError, match=rf"--average factors: {tmp_path / '1'} has another rank or alpha"):
        average_by_task(updates, lambda update: 0, 1, "factors", LoraScale(2, 2.0))


def test_an_adapter_that_does_not_fit_is_refused_by_folder(tmp_path: Path) -> None:
    updates = [store(tmp_path, 0, 3), store(tmp_path, 1, 9)]
    wrong = {A: torch.zeros(2, 6), B: torch.zeros(7, 2)}
    save_adapter(updates[1].folder, wrong, {"peft_type": "LORA", "r": 2, "lora_alpha": 4})
    for average in ("factors", "product"):
        with pytest.raises(UserError, match=rf"{tmp_path / '1'}: cannot be averaged with the others") as caught:
            average_by_task(updates, lambda update: 0, 1, average, LoraScale(2, 2.0))
        assert "\n" not in str(caught.value)
