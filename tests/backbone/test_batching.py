"""Batches: drawn without replacement, of like length, and the same for the same key."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from fedrouter_sim.backbone.batching import alike_sorted, draw_batches, length_sorted
from fedrouter_sim.randomness import numpy_generator

SIZES = [(1, 1, 1), (1, 3, 4), (10, 2, 4), (10, 5, 2), (10, 5, 4), (16, 1, 16), (7, 10, 16), (100, 3, 16)]


def lengths_of(n: int) -> list[int]:
    return [int(length) for length in np.random.default_rng(n).integers(3, 60, n)]


def draw(n: int, steps: int, batch_size: int, *key: int) -> list[list[int]]:
    return draw_batches(lengths_of(n), steps, batch_size, numpy_generator(42, "batches", *key))


@pytest.mark.parametrize(("n", "steps", "batch_size"), SIZES)
def test_there_is_one_full_batch_a_step_of_valid_indices(n: int, steps: int, batch_size: int) -> None:
    batches = draw(n, steps, batch_size)
    assert [len(batch) for batch in batches] == [batch_size] * steps
    assert all(type(i) is int and 0 <= i < n for batch in batches for i in batch)


@pytest.mark.parametrize(("n", "steps", "batch_size"), SIZES)
def test_no_example_comes_again_before_every_other_has_come(n: int, steps: int, batch_size: int) -> None:
    counts = Counter(i for batch in draw(n, steps, batch_size) for i in batch)
    times = [counts[i] for i in range(n)]
    assert max(times) - min(times) <= 1


@pytest.mark.parametrize(("n", "steps", "batch_size"), SIZES)
def test_batches_are_of_like_length(n: int, steps: int, batch_size: int) -> None:
    lengths = lengths_of(n)
    batches = sorted(sorted(lengths[i] for i in batch) for batch in draw(n, steps, batch_size))
    assert all(before[-1] <= after[0] for before, after in pairwise(batches))


def test_the_same_key_gives_the_same_batches_and_another_key_gives_others() -> None:
    assert draw(50, 5, 8, 1, 2) == draw(50, 5, 8, 1, 2)
    assert draw(50, 5, 8, 1, 2) != draw(50, 5, 8, 1, 3)


def test_batches_do_not_come_in_order_of_length() -> None:
    lengths = list(range(64))
    orders = {
        tuple(batch[0] for batch in draw_batches(lengths, 8, 8, numpy_generator(42, "batches", key)))
        for key in range(10)
    }
    assert len(orders) == 10
    assert tuple(range(0, 64, 8)) not in orders


def test_which_examples_are_drawn_does_not_depend_on_their_lengths() -> None:
    long_first, equal = list(range(40, 0, -1)), [5] * 40
    drawn = [
        {i for batch in draw_batches(lengths, 2, 8, numpy_generator(1, "batches")) for i in batch}
        for lengths in (long_first, equal)
    ]
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(("n", "most_rows"), [(0, 4), (1, 4), (8, 4), (9, 4), (33, 16)])
@pytest.mark.parametrize("most_padding", [0, 20, 10**9])
def test_length_sorted_yields_every_index_once_longest_first(n: int, most_rows: int, most_padding: int) -> None:
    lengths = lengths_of(n)
    batches = list(length_sorted(lengths, most_rows, most_padding))
    flat = [i for batch in batches for i in batch]
    assert sorted(flat) == list(range(n))
    assert [lengths[i] for i in flat] == sorted(lengths, reverse=True)


def test_length_sorted_keeps_the_order_of_equal_lengths() -> None:
    assert list(length_sorted([5, 9, 5, 9], 4, 100)) == [[1, 3, 0, 2]]


@pytest.mark.parametrize("most_padding", [0, 7, 64])
def test_a_batch_ends_only_where_one_more_row_would_be_too_many_or_too_much_padding(most_padding: int) -> None:
    lengths = lengths_of(200)

    def padding(batch: list[int]) -> int:
        return sum(max(lengths[i] for i in batch) - lengths[i] for i in batch)

    batches = list(length_sorted(lengths, 16, most_padding))
    assert all(len(batch) <= 16 and padding(batch) <= most_padding for batch in batches)
    for batch, after in pairwise(batches):
        assert len(batch) == 16 or padding([*batch, after[0]]) > most_padding


def test_alike_batches_are_of_one_kind_each_and_of_every_row_once() -> None:
    lengths, kinds = lengths_of(50), [i % 3 for i in range(50)]
    batches = list(alike_sorted(kinds, lengths, 4, 20))
    assert sorted(i for batch in batches for i in batch) == list(range(50))
    assert all(len({kinds[i] for i in batch}) == 1 and len(batch) <= 4 for batch in batches)
    assert list(alike_sorted([7] * 50, lengths, 4, 20)) == list(length_sorted(lengths, 4, 20))
