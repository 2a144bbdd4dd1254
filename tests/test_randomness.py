"""Keyed randomness: the key decides the draw, and nothing else does."""

import itertools

import numpy as np
import torch

from fedrouter_sim.randomness import derive_seed, numpy_generator, torch_generator


def test_the_same_key_gives_the_same_draws() -> None:
    assert numpy_generator(1, "x", 2, "a").random(5).tolist() == numpy_generator(1, "x", 2, "a").random(5).tolist()
    one, two = (torch.rand(5, generator=torch_generator(1, "x", 2, "a")) for _ in range(2))
    assert torch.equal(one, two)


def test_every_part_of_the_key_matters() -> None:
    keys = [(1, "x", 2, 3), (2, "x", 2, 3), (1, "y", 2, 3), (1, "x", 3, 3), (1, "x", 2, 2), (1, "x", 3, 2), (1, "x", 2)]
    assert len({derive_seed(*key) for key in keys}) == len(keys)


def test_neighbouring_parts_do_not_run_together() -> None:
    assert derive_seed(1, "x", 1, 23) != derive_seed(1, "x", 12, 3)
    assert derive_seed(1, "1x") != derive_seed(11, "x")
    assert derive_seed(1, "deal", "ab", "c") != derive_seed(1, "deal", "a", "bc")


def test_seeds_fit_31_bits_and_do_not_collide_over_a_runs_keys() -> None:
    seeds = [
        derive_seed(42, "batches", round_, client, group)
        for round_, client, group in itertools.product(range(25), range(20), range(4))
    ]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert len(set(seeds)) == len(seeds)


def test_earlier_draws_and_global_state_do_not_matter() -> None:
    first = numpy_generator(1, "x").random()
    np.random.seed(0)
    torch.manual_seed(0)
    numpy_generator(1, "y").random(1000)
    assert numpy_generator(1, "x").random() == first


def test_global_state_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    torch.rand(3, generator=torch_generator(1, "x"))
    assert torch.equal(torch.rand(3), expected)


def test_seeds_and_draws_are_the_same_in_every_process_and_release() -> None:
    assert derive_seed(42, "batches", 3, 1, "é") == 1962959185
    assert numpy_generator(42, "batches", 3).permutation(8).tolist() == [3, 7, 0, 6, 4, 5, 2, 1]
    assert torch_generator(42, "dropout", 3).initial_seed() == derive_seed(42, "dropout", 3)
