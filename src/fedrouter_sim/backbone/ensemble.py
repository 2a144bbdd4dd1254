"""Adapters that answer apart and are averaged in probability (`ByAnswer`): a row of a batch for each of K adapters.

The rows of a text stand one after the other, each with the weight 1 for one adapter of a mixture, so one pass runs all
of them. Their next tokens' probabilities are averaged, all rows go on with the same token, and what each adapter gave
it says how far it is to be believed.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import LogitsProcessor

from fedrouter_sim.backbone.mixing import Mixture

Row = TypeVar("Row")


def apart(mixture: Mixture) -> Mixture:
    """Return the mixture whose rows are those of each text's K adapters, one after the other."""
    count = len(mixture.adapters)
    return replace(mixture, weights=np.tile(np.eye(count), (len(_weights(mixture)), 1)), together=None)


def times(rows: Sequence[Row], count: int) -> list[Row]:
    """Return every row `count` times, one after the other."""
    return [row for row in rows for _ in range(count)]


def joint_losses(mixture: Mixture, losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the loss of each of n responses, -log sum_k w_k exp(-loss_k), (n,), in nats.

    Args:
        mixture: of the texts.
        losses: of the rows of `apart`, (n K,).
    """
    weights = _weights(mixture)
    with np.errstate(divide="ignore"):
        prior = np.log(weights / weights.sum(axis=1, keepdims=True))
    joint: NDArray[np.float64] = -np.logaddexp.reduce(prior - losses.reshape(weights.shape), axis=1)
    return joint


class Beliefs:
    """How likely each adapter is the right one for each text, as its answer grows.

    Args:
        mixture: of the texts.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.adapters = len(mixture.adapters)
        self._logs = torch.log(torch.as_tensor(_weights(mixture), dtype=torch.float64)).flatten()  # of each row

    def of(self, rows: Sequence[int]) -> LogitsProcessor:
        """Return what averages the rows of a batch as they are answered: all of the K of a text, in order."""
        return _Averaging(self._logs, torch.tensor(rows), self.adapters)


class _Averaging(LogitsProcessor):
    def __init__(self, logs: Tensor, rows: Tensor, adapters: int) -> None:
        self._logs = logs
        self._rows = rows
        self._adapters = adapters

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logs of the averaged probabilities (B, vocabulary), and believe those who gave the next token."""
        given = torch.log_softmax(scores.float(), dim=-1)
        logs = torch.log_softmax(self._logs[self._rows].view(-1, self._adapters), dim=1).to(given)
        joint = (given.view(*logs.shape, -1) + logs[..., None]).logsumexp(dim=1).repeat_interleave(self._adapters, 0)
        chosen = joint.argmax(dim=-1, keepdim=True)  # as greedy answering takes it
        self._logs[self._rows] += given.gather(1, chosen)[:, 0].to(self._logs)
        return joint


def _weights(mixture: Mixture) -> NDArray[np.float64]:
    if mixture.weights is None:
        raise ValueError("adapters that answer apart have weights for each text")
    return np.asarray(mixture.weights, dtype=np.float64)
