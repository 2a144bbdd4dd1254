"""What settings say of each other: which of them contradict, beyond the limits that each has of its own."""

from typing import Any

from fedrouter_sim.config.words import AUTO, NONE
from fedrouter_sim.errors import UserError

MOST_DRAWN = 2 * 10**7
"""Examples that a client may draw in a round (a gigabyte): more than any data set has rows for."""


def check_together(config: Any) -> None:
    """Refuse settings that contradict each other.

    Args:
        config: a `RunConfig`; its module imports this one.

    Raises:
        UserError: naming the flags.
    """
    if (drawn := config.local_steps * config.batch_size) > MOST_DRAWN:
        steps = f"--local-steps {config.local_steps} with --batch-size {config.batch_size}"
        raise UserError(f"{steps}: a client would draw {drawn:,} examples in a round; at most {MOST_DRAWN:,} fit")
    if config.lr_min > config.lr:
        raise UserError(f"--lr-min {config.lr_min:g} is above --lr {config.lr:g}: lower --lr-min or raise --lr")
    if (config.drift_at > 0) != (config.drift_to != NONE):
        raise UserError(
            f"--drift-at {config.drift_at} with --drift-to {config.drift_to}: a drift needs both, a round and a split"
        )
    if config.drift_at > config.rounds + 1:
        raise UserError(
            f"--drift-at {config.drift_at}: is after the last round; give at most --rounds + 1 = {config.rounds + 1}"
        )
    if config.drift_brings and not config.drift_at:
        raise UserError(
            f"--drift-brings {config.drift_brings[0]}: nothing drifts; give --drift-at and --drift-to as well"
        )
    if both := [task for task in config.drift_brings if task in config.hold_out]:
        raise UserError(
            f"--drift-brings {both[0]}: is held out of all training by --hold-out {both[0]}; drop one of both"
        )
    if config.dp_epsilon:
        _check_privacy(config)
    if config.template not in ("alpaca", "plain", "chat") and config.template.count("{instruction}") != 1:
        raise UserError(
            f"--template {config.template!r} is not 'alpaca', 'plain' or 'chat', and it does not hold "
            "{instruction} once"
        )


def _check_privacy(config: Any) -> None:
    """Refuse settings that differential privacy cannot be had with.

    Raises:
        UserError: naming the flags.
    """
    if config.embedding == AUTO:
        raise UserError(
            f"--embedding {AUTO}: has clients say how well their clusters agree, which --dp-epsilon does not pay for; "
            "name a layer"
        )
    if config.dp_delta * config.clients >= 1:
        raise UserError(
            f"--dp-delta {config.dp_delta:g}: must be below 1 / --clients = {1 / config.clients:.3g}, or giving one "
            "client away would be private"
        )
    for name, value, wanted, why in (
        ("--aggregation", config.aggregation, "mean", "noise is measured for the mean of clipped updates alone"),
        ("--drift-to", config.drift_to, NONE, "clients would send all that they send before training again"),
        ("--unseen", config.unseen, "answer", "clients do not send what would tell unseen texts"),
        ("--min-participants", config.min_participants, 0, "a round that is skipped tells who was sampled"),
        (
            "--late",
            config.late if config.stragglers else "drop",
            "drop",
            "a client whose update comes late would count twice in a round",
        ),
    ):
        if value != wanted:
            raise UserError(f"{name} {value}: does not go with --dp-epsilon, as {why}; take {name} {wanted}")
