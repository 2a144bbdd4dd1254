"""From settings to a federation: data loaded and dealt out, backbone loaded, clients made."""

from dataclasses import dataclass

from fedrouter_sim.backbone import Backbone
from fedrouter_sim.client import Client
from fedrouter_sim.config import RunConfig
from fedrouter_sim.examples import Columns, Shares, load_shares
from fedrouter_sim.methods import METHODS, Federation
from fedrouter_sim.partition import ClientShares, deal_out


@dataclass(frozen=True)
class Dealt:
    """The data of a run: its shares, and what each client got of them."""

    shares: Shares
    clients: tuple[ClientShares, ...]


def deal_data(config: RunConfig) -> Dealt:
    """Load the data that `config` names and deal it out: the same clients, whatever the method."""
    columns = Columns(config.instruction_column, config.response_column, config.task_column)
    shares = load_shares(config.data, columns, config.seed)
    clients = deal_out(
        shares.train,
        shares.test,
        clients=config.clients,
        split=config.split,
        alpha=config.alpha,
        examples_per_client=config.examples_per_client,
        test_examples_per_client=config.test_examples_per_client,
        seed=config.seed,
    )
    return Dealt(shares, clients)


def build_federation(config: RunConfig, dealt: Dealt, backbone: Backbone) -> Federation:
    """Make the clients of a run around the one backbone."""
    clients = [Client(number, own.train, backbone, config) for number, own in enumerate(dealt.clients)]
    return Federation(config, backbone, tuple(clients))


def unused_settings(config: RunConfig, given: frozenset[str]) -> list[str]:
    """Return which of the settings that the user gave will not matter, sorted."""
    unused = METHODS[config.method].ignores | (frozenset() if config.split == "dirichlet" else {"alpha"})
    return sorted(given & unused)
