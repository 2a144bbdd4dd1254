"""What training will take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What training will take. Answering the test samples comes on top."""

    parameters: int  # of the frozen backbone
    adapter_parameters: int  # trainable, of one adapter
    adapter_bytes: int  # of one adapter, as sent
    adapters: int  # pools
    steps: int  # optimizer steps; with partial participation, those to be expected
    tokens: int  # real tokens of all batches, to be expected
    seconds_per_step: float | None  # as measured; None where nothing trains
    train_seconds: float | None
    answers: int  # test samples to answer, over all cells at most
    longest_answer: int  # tokens
    dtype: str
    device: str
    threads: int
    more_follows: bool  # the method makes another plan later, which is not in these numbers
