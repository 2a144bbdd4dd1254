"""Weights by token, and the direction that an adapter reads most."""

import pytest
import torch

from fedrouter_sim.adapters.by_token import ByToken, input_direction


def pair(seed: int, rank: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rank, 8, generator=generator), torch.randn(6, rank, generator=generator)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_the_direction_is_the_top_right_singular_vector_of_the_product(rank: int) -> None:
    a, b = pair(1, rank)
    expected = torch.linalg.svd(b @ a).Vh[0]
    found = input_direction(a, b)
    assert found.dtype == a.dtype and abs(float(found @ expected)) == pytest.approx(1, abs=1e-5)
    assert float(found.norm()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(found, input_direction(a, b))


def test_an_adapter_that_changes_nothing_has_no_direction() -> None:
    a, b = pair(2)
    assert torch.equal(input_direction(a, 0 * b), torch.zeros(8))


def test_weights_are_a_softmax_of_the_absolute_products_whatever_their_signs() -> None:
    directions, hidden = torch.eye(4)[:3], torch.tensor([[[3.0, -4.0, 1.0, 7.0], [0.0, 0.0, -2.0, 0.0]]])
    found = ByToken(top_k=3, temperature=2.0).weights(hidden, directions)
    expected = torch.softmax(torch.tensor([[[3.0, 4.0, 1.0], [0.0, 0.0, 2.0]]]) / 2, dim=-1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ByToken(3, 2.0).weights(hidden, -directions), found)


def test_only_the_largest_count_and_fewer_adapters_all_do() -> None:
    directions, hidden = torch.eye(4)[:3], torch.tensor([[3.0, -4.0, 1.0, 7.0]])
    assert ByToken(top_k=1).weights(hidden, directions).tolist() == [[0, 1, 0]]
    two = ByToken(top_k=2).weights(hidden, directions)[0]
    assert two[2] == 0 and float(two.sum()) == pytest.approx(1)
    torch.testing.assert_close(ByToken(top_k=9).weights(hidden, directions), ByToken().weights(hidden, directions))
