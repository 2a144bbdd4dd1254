"""Batches: drawn without replacement, of like length, and the same for the same key."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from fedrouter_sim.backbone.batching import alike_sorted, draw_batches, length_sorted
from fedrouter_sim.randomness import numpy_generator

ONE_PASS = [(1, 1, 1), (10, 2, 4), (10, 5, 2), (16, 1, 16), (100, 3, 16)]
SEVERAL_PASSES = [(10, 5, 4), (10, 10, 8), (17, 3, 16), (32, 9, 16), (33, 7, 8), (100, 25, 16), (5, 40, 2)]
FEWER_THAN_A_BATCH = [(1, 3, 4), (3, 1, 16), (7, 10, 16), (15, 4, 16)]
SIZES = [*ONE_PASS, *SEVERAL_PASSES, *FEWER_THAN_A_BATCH]


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


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize(("n", "steps", "batch_size"), [*ONE_PASS, *SEVERAL_PASSES])
def test_no_batch_holds_an_example_twice(n: int, steps: int, batch_size: int, equal: bool) -> None:
    lengths = [5] * n if equal else lengths_of(n)
    for batch in draw_batches(lengths, steps, batch_size, numpy_generator(42, "batches")):
        assert len(set(batch)) == batch_size


@pytest.mark.parametrize(("n", "steps", "batch_size"), FEWER_THAN_A_BATCH)
def test_examples_fewer_than_a_batch_are_spread_evenly(n: int, steps: int, batch_size: int) -> None:
    counts = [Counter(batch) for batch in draw(n, steps, batch_size)]
    for i in range(n):
        times = [of_batch[i] for of_batch in counts]
        assert max(times) - min(times) <= 1


@pytest.mark.parametrize(("n", "steps", "batch_size"), ONE_PASS)
@pytest.mark.parametrize("key", range(5))
def test_with_one_pass_batches_are_cut_from_what_was_drawn_sorted_by_length(
    n: int, steps: int, batch_size: int, key: int
) -> None:
    lengths, generator = lengths_of(n), numpy_generator(42, "batches", key)
    drawn = generator.permutation(n)[: steps * batch_size].tolist()
    ordered = sorted(drawn, key=lambda i: lengths[i])
    cut = [ordered[start : start + batch_size] for start in range(0, len(ordered), batch_size)]
    assert draw(n, steps, batch_size, key) == [cut[place] for place in generator.permutation(steps)]


@pytest.mark.parametrize(("n", "passes", "batch_size"), [(32, 4, 8), (100, 3, 10), (1000, 2, 16)])
def test_batches_of_several_passes_are_of_like_length(n: int, passes: int, batch_size: int) -> None:
    batches = draw(n, n * passes // batch_size, batch_size)
    lengths = sorted(lengths_of(n))
    widest = max(lengths[start + 2 * batch_size - 1] - lengths[start] for start in range(n - 2 * batch_size + 1))
    for batch in batches:
        own = [lengths_of(n)[i] for i in batch]
        assert max(own) - min(own) <= widest


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
