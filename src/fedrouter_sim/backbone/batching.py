"""Batches: of like length, so that little of a batch is padding."""

from collections.abc import Iterator, Sequence

import numpy as np

ROWS = 32  # of a batch where nothing is trained
SKETCHED_ROWS = 16  # of a batch whose gradients are sketched
# Tokens that take about as long as what a pass costs whatever its size, by device. That of cards was not measured; it
# is so large that their batches are seldom cut short.
PADDING = {"cpu": 64, "cuda": 4096}
ANSWERED_ROWS = 64  # that get their next tokens in one pass, at most
FEW_ROWS = 32  # that are left of them, at most, and wait for others
CACHED = 32  # so many times cheaper is padding that passes look at and do not compute
STRETCH = 8  # tokens after which answers that have ended leave at the latest
LEAVING = 8  # they leave sooner once they are one in so many of their batch


def draw_batches(
    lengths: Sequence[int], steps: int, batch_size: int, generator: np.random.Generator
) -> list[list[int]]:
    """Draw the batches of one group's round, as indices into its examples.

    The examples of the round are drawn first, without replacement and reshuffled when used up. They are then put
    into batches of like length, and the batches are shuffled. What was drawn several times is dealt to different
    batches: none holds an example twice where the group has as many as a batch, and where it has fewer, all are in
    each batch about equally often.

    Args:
        lengths: tokens of each example of the group, (n,), n > 0.
        steps: number of batches, one per optimizer step.
        batch_size: examples in a batch.
        generator: the keyed generator of this group and round.
    """
    wanted = steps * batch_size
    orders = [generator.permutation(len(lengths)) for _ in range(-(-wanted // len(lengths)))]
    drawn = np.concatenate(orders)[:wanted]
    # Of equal lengths the first drawn is first, so the copies of an example, one a pass at most, are neighbours. They
    # are dealt to as many batches that lie next to each other as there are passes, or a few more.
    drawn = drawn[np.lexsort((np.argsort(orders[0])[drawn], np.asarray(lengths)[drawn]))]
    deals = max(1, steps // len(orders))
    ends = [steps * deal // deals * batch_size for deal in range(1, deals)]
    batches = np.concatenate([part.reshape(batch_size, -1).T for part in np.split(drawn, ends)])
    return [[int(i) for i in batches[place]] for place in generator.permutation(steps)]


def length_sorted(lengths: Sequence[int], most_rows: int, most_padding: int) -> Iterator[list[int]]:
    """Yield all indices in batches of like length, longest first, so that memory peaks at once.

    Args:
        lengths: tokens of each row, (n,).
        most_rows: rows of a batch.
        most_padding: tokens of padding in a batch. So many tokens should take about as long as one more batch does.
    """
    batch: list[int] = []
    padding = 0
    for i in np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist():
        if batch and (len(batch) == most_rows or padding + lengths[batch[0]] - lengths[i] > most_padding):
            yield batch
            batch, padding = [], 0
        batch.append(i)
        padding += lengths[batch[0]] - lengths[i]
    if batch:
        yield batch


def alike_sorted(kinds: Sequence[int], lengths: Sequence[int], most: int, padding: int) -> Iterator[list[int]]:
    """Yield batches as `length_sorted` does, each of rows of one kind."""
    for kind in sorted(set(kinds)):
        alike = [row for row, one in enumerate(kinds) if one == kind]
        for batch in length_sorted([lengths[row] for row in alike], most, padding):
            yield [alike[place] for place in batch]
