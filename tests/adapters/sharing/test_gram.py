"""Inner products of the pools' changes, without the noise of training."""

import numpy as np
import pytest
import torch
from some_adapters import A, B
from some_rounds import plus, round_of, unit

from fedrouter_sim.adapters.sharing.gram import Gram, gram_of


def cosine(gram: Gram) -> float:
    """Of the first two pools, as it would be without noise."""
    return float(gram.products[0, 1] / np.sqrt(gram.clean[0] * gram.clean[1]))


def test_products_are_those_of_the_changes() -> None:
    both = plus(unit(0), unit(1))
    gram = gram_of(round_of({"a": unit(0), "b": both, "idle": None}, [{"a": 1.0, "b": 1.0}]))
    assert gram.pools == ("a", "b")
    np.testing.assert_allclose(gram.products, [[1, 1], [1, 2]], atol=1e-5)
    np.testing.assert_allclose(gram.clean, [1, 2], atol=1e-5)
    assert cosine(gram) == pytest.approx(0.5**0.5, abs=1e-5)


def test_noise_is_taken_off_by_how_much_single_updates_are_longer_than_their_mean() -> None:
    generator = torch.Generator().manual_seed(3)
    common, clean, raw = torch.randn(18, generator=generator), [], []
    for _ in range(200):
        changes, squares = {}, {}
        for pool in "ab":
            single = common + 2 * torch.randn(4, 18, generator=generator)
            changes[pool] = {A: torch.zeros(3, 8), B: single.mean(0).reshape(6, 3)}
            squares[pool] = {A: 0.0, B: float(single.square().sum(1).mean())}
        held = [{"a": 5.0, "b": 5.0}] * 4
        round_ = round_of(changes, held, squares=squares)
        gram = gram_of(round_)
        lengths = np.sqrt(gram.products.diagonal())
        clean.append(cosine(gram))
        raw.append(gram.products[0, 1] / (lengths[0] * lengths[1]))
    assert np.mean(raw) < 0.6 and np.mean(clean) > 0.75  # of two that want the same


def test_a_pool_of_one_update_is_as_reliable_as_the_others() -> None:
    held = [{"a": 1.0}, {"a": 1.0}, {"b": 1.0}]
    squares = {"a": {A: 0.0, B: 1.5}, "b": {A: 0.0, B: 1.0}}  # of a: 1 = m + v / 2 and 1.5 = m + v, so m = 0.5
    gram = gram_of(round_of({"a": unit(0), "b": unit(1)}, held, squares=squares))
    assert gram.clean.tolist() == pytest.approx([0.5, 0.5], abs=1e-5)
    alone = gram_of(round_of({"b": unit(1)}, [{"b": 1.0}], squares=squares))
    assert alone.clean.tolist() == pytest.approx([1.0], abs=1e-5)
