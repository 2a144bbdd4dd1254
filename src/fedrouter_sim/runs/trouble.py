"""What went wrong with the numbers of a training, said at its end with advice."""

from collections.abc import Sequence

from fedrouter_sim.evaluation.metrics.token_loss import TokenLoss
from fedrouter_sim.evaluation.scores import CellResult
from fedrouter_sim.federation.observers import RoundRecord
from fedrouter_sim.simulation import Stage

RISEN = 1.0
"""By how much a round's mean loss is above the first round's if training went wrong, in nats per token: every token of
a response is then e times less likely than it was. Rounds draw other rows, which moves a loss by some tenths. A share
of the first loss would not do: that of a model that knows its task is almost 0, and may double by chance."""


def troubles_of(
    stages: Sequence[Stage], records: Sequence[RoundRecord], results: Sequence[CellResult] = ()
) -> list[str]:
    """Say in a sentence each what went wrong: trainings without an update, a loss that rose for all pools, and scores
    without a loss."""
    said = []
    failed = sum(len(clients) for record in records for clients in record.failed.values())
    if failed:
        rounds = [record.round for record in records if record.failed]
        said.append(
            f"{failed} trainings gave a loss or a weight that is not finite and sent no update, first in round "
            f"{rounds[0]} ('failed' in rounds.jsonl); lower --lr or --clip"
        )
    # Rows of other tasks have another loss: what a drift brings is compared with itself.
    drift = next((stage.begins for stage in stages if stage.drifted), len(records) + 1)
    for span in (records[: drift - 1], records[drift - 1 :]):
        if rise := _rise(span):
            first, last = rise
            said.append(
                f"the training loss rose for all pools, from {first:.2f} in round {span[0].round} to {last:.2f} in the "
                "last rounds: nothing was learned; lower --lr or --clip"
            )
            break
    if without := [one.cell.name for one in results if any(s[TokenLoss.name] is None for s in one.per_client.values())]:
        said.append(f"the loss of test samples is not finite in {', '.join(without)}; lower --lr or --clip")
    return said


def _rise(records: Sequence[RoundRecord]) -> tuple[float, float] | None:
    """Return the mean loss of the pools in the first of these rounds and in the last one of each, if all have risen."""
    first = records[0].losses if records else {}  # every round has one, or none of them has
    last = {pool: loss for record in records[1:] for pool, loss in record.losses.items()}
    if not first or not last:
        return None
    mean = sum(first.values()) / len(first)
    # A pool that came later, as one of a group of clients does, went on from what there was in the first round.
    if all(loss > first.get(pool, mean) + RISEN for pool, loss in last.items()):
        return mean, sum(last.values()) / len(last)
    return None
