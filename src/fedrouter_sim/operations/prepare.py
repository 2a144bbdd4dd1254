"""From settings to a federation: data loaded and dealt out, backbone loaded, clients made."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedrouter_sim.backbone.model import Backbone
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.evaluator import TestShares
from fedrouter_sim.examples.loading import load_shares
from fedrouter_sim.examples.record import Columns, Example, Shares, tasks_of
from fedrouter_sim.federation.client import Client
from fedrouter_sim.methods import Federation, Method
from fedrouter_sim.methods.method import SPECIAL_SETTINGS, TRAINING_SETTINGS
from fedrouter_sim.partition.dealing import ClientShares, deal_iid, deal_out, natural_clients, natural_notes

ALL, OWN, DRIFT, HELD_OUT = "all", "own", "drift", "held-out"
"""Whose test samples: of all tasks; of the client's training mixture; of the mixture it drifts to; of the task that was
held back from all clients."""


@dataclass(frozen=True)
class Dealt:
    """The data of a run: its shares without the held-out task, each client's part of them, and what else is tested."""

    shares: Shares
    clients: tuple[ClientShares, ...]
    drifted: tuple[ClientShares, ...] = ()  # the clients' data after the drift
    held_out: tuple[tuple[Example, ...], ...] = ()  # test samples of the held-out task, a shard a client
    client_ids: tuple[str, ...] = ()  # what the data calls the clients, where it says itself whose row it is
    notes: tuple[str, ...] = ()  # what of the data was left out, for the user

    def record(self) -> dict[str, list[str]]:
        """Return what a run's manifest says of its data: the clients' ids and the notes, where there are any."""
        values = {"data_clients": list(self.client_ids), "data_notes": list(self.notes)}
        return {key: value for key, value in values.items() if value}

    def samples(self) -> int:
        """Return how many test samples there are, over all test data and clients."""
        return sum(len(own) for share in self.test_shares().values() for own in share.values())

    def test_shares(self, most: int | None = None) -> dict[str, TestShares]:
        """Return the test data that there are, at most `most` samples a client."""
        by_name: dict[str, list[tuple[Example, ...]]] = {
            ALL: [own.test_all for own in self.clients],
            OWN: [own.test_own for own in self.clients],
            DRIFT: [own.test_own for own in self.drifted],
            HELD_OUT: list(self.held_out),
        }
        # Own data may be without test rows, when the test share lacks the tasks that the clients train.
        return {
            name: {client: own[:most] for client, own in enumerate(parts)}
            for name, parts in by_name.items()
            if any(parts)
        }


def load_data(config: RunConfig, shares: Shares | None = None) -> tuple[Shares, Sequence[Example]]:
    """Load the data that `config` names, or take `shares`; return them without the held-out task, and its test rows."""
    if shares is None:
        shares = load_shares(config.data, columns_of(config), config.seed, config.hub_folder)
    return _without(shares, config.hold_out) if config.hold_out else (shares, ())


def columns_of(config: RunConfig) -> Columns:
    """Return the names of the columns of a run's data."""
    return Columns(config.instruction_column, config.response_column, config.task_column, config.client_column)


def deal_data(config: RunConfig, shares: Shares | None = None) -> Dealt:
    """Deal out the data that `config` names, or `shares`: the same clients, whatever the method.

    Raises:
        UserError: the data cannot be dealt out so, or have no task of the name to be held out.
    """
    shares, held = load_data(config, shares)

    def deal(split: str) -> tuple[ClientShares, ...]:
        return deal_out(
            shares.train,
            shares.test,
            clients=config.clients,
            split=split,
            alpha=config.alpha,
            examples_per_client=config.examples_per_client,
            test_examples_per_client=config.test_examples_per_client,
            seed=config.seed,
        )

    clients = deal(config.split)
    natural = "natural" in (config.split, config.drift_to)
    ids = natural_clients(shares.train, config.clients) if natural else []
    return Dealt(
        shares,
        clients,
        deal(config.drift_to) if config.drift_at else (),
        tuple(deal_iid(held, config.clients, config.test_examples_per_client, config.seed)) if held else (),
        tuple(ids),
        (*shares.notes, *(natural_notes(shares.train, shares.test, ids) if natural else ())),
    )


def _without(shares: Shares, task: str) -> tuple[Shares, list[Example]]:
    """Take a task out of all shares; return them and its test examples."""
    held = [example for example in shares.test if example.task == task]
    known = tasks_of(shares.train)
    if task not in known or not held or len(known) < 2:
        raise UserError(
            f"--hold-out {task}: must be one of at least two tasks that training and test data have; there are: "
            f"{', '.join(known) or 'none (name the column with --task-column)'}"
        )
    return shares.without(task), held


def build_federation(config: RunConfig, dealt: Dealt, backbone: Backbone) -> Federation:
    """Make the clients of a run around the one backbone."""
    return Federation(config, backbone, _clients(config, dealt.clients, backbone))


def drifted_clients(config: RunConfig, dealt: Dealt, backbone: Backbone) -> tuple[Client, ...]:
    """Make the clients as they are after the drift; none where nothing drifts."""
    return _clients(config, dealt.drifted, backbone)


def _clients(config: RunConfig, shares: Sequence[ClientShares], backbone: Backbone) -> tuple[Client, ...]:
    return tuple(Client(number, own.train, backbone, config) for number, own in enumerate(shares))


def unused_settings(config: RunConfig, method: Method, given: frozenset[str]) -> list[str]:
    """Return which of the settings that the user gave will not matter, sorted."""
    unused = SPECIAL_SETTINGS - method.uses
    if not method.trains:
        unused |= TRAINING_SETTINGS
    if "dirichlet" not in (config.split, config.drift_to):
        unused |= {"alpha"}
    if "natural" not in (config.split, config.drift_to):
        unused |= {"client_column"}
    return sorted(given & unused)
