"""The loss: per token, however the tokens are spread over answers."""

import pytest

from fedrouter_sim.evaluation.metrics.metric import Answered
from fedrouter_sim.evaluation.metrics.token_loss import TokenLoss


def sample(loss: float, tokens: int) -> Answered:
    return Answered("right", "wrong", labels=False, loss=loss, tokens=tokens)


def test_the_loss_of_an_answer_is_per_token() -> None:
    assert TokenLoss().measure(sample(6.0, 3)) == 2.0


def test_the_mean_is_over_tokens_and_not_over_answers() -> None:
    samples = [sample(2.0, 1), sample(2.0, 3)]
    values = [TokenLoss().measure(one) for one in samples]
    assert values == pytest.approx([2.0, 2 / 3])
    assert TokenLoss().mean(samples, values) == 1.0


def test_less_is_better() -> None:
    assert (TokenLoss().best([2.0, 1.0]), TokenLoss().worst([2.0, 1.0])) == (1.0, 2.0)
