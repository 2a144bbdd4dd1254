"""The data of a run: loaded, partitioned among the clients, and what else is tested. The same for every method."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Columns, Example, Shares, tasks_of
from fedrouter_sim.examples.sources import load_shares
from fedrouter_sim.partition.assigning import in_order, split_iid
from fedrouter_sim.partition.partitioning import ClientShares, partition
from fedrouter_sim.partition.splits import find_split
from fedrouter_sim.partition.splits.split import Split, Wanted
from fedrouter_sim.partition.test_data import ALL, DRIFT, HELD_OUT, OWN
from fedrouter_sim.randomness import numpy_generator
from fedrouter_sim.tables import parse_options
from fedrouter_sim.texts import half_character

_FEW = 4096  # of clients, or examples in a batch: what fits into any memory

TestShares = Mapping[int, Sequence[Example]]
"""Client -> the test samples that it answers."""


@dataclass(frozen=True)
class RunData:
    """The data of a run: its shares without the held-out tasks, each client's part of them, and what else is tested."""

    shares: Shares
    clients: tuple[ClientShares, ...]
    drifted: tuple[ClientShares, ...] = ()  # the clients' data after the drift
    held_out: tuple[tuple[Example, ...], ...] = ()  # test samples of the held-out tasks, a shard per client
    client_ids: tuple[str, ...] = ()  # what the data calls the clients, where it says itself whose row it is
    notes: tuple[str, ...] = ()  # what of the data was left out, for the user
    validation: tuple[Example, ...] = ()  # what tuning may look at

    def record(self) -> dict[str, list[str]]:
        """Return what a run's manifest says of its data: the clients' ids and the notes, where there are any."""
        values = {"data_clients": list(self.client_ids), "data_notes": list(self.notes)}
        return {key: value for key, value in values.items() if value}

    def labels(self, drifted: bool = False, gathered: bool = False) -> dict[int, list[str | None]]:
        """Return the task labels of each client's training examples, for measuring only.

        Args:
            drifted: of the data after the drift.
            gathered: of client 0, which holds the examples of all.
        """
        found = [[example.task for example in own.train] for own in (self.drifted if drifted else self.clients)]
        return {0: [task for own in found for task in own]} if gathered else dict(enumerate(found))

    @property
    def is_labelled(self) -> bool:
        """Whether all training examples of the clients have a task label."""
        return not any(task is None for own in (False, True) for tasks in self.labels(own).values() for task in tasks)

    def test_shares(self) -> dict[str, TestShares]:
        """Return the test data that there are, by name."""
        by_name: dict[str, list[tuple[Example, ...]]] = {
            ALL: [own.test_all for own in self.clients],
            OWN: [own.test_own for own in self.clients],
            DRIFT: [own.test_own for own in self.drifted],
            HELD_OUT: list(self.held_out),
        }
        # Own data may be without test rows, when the test share lacks the tasks that the clients train.
        return {name: dict(enumerate(parts)) for name, parts in by_name.items() if any(parts)}


def draw_fewer(shares: Mapping[str, TestShares], most: int, seed: int) -> dict[str, TestShares]:
    """Return test data with at most `most` samples of each client, drawn by seed, in the order that they have.

    A client's samples lie in the order of the data, which may be sorted by task: the first ones would be of one task.
    """
    drawn: dict[str, TestShares] = {}
    for name, share in shares.items():
        orders = {c: numpy_generator(seed, "fewer test samples", name, c).permutation(len(share[c])) for c in share}
        drawn[name] = {client: in_order(own, orders[client][:most]) for client, own in share.items()}
    return drawn


def reading_of(config: RunConfig) -> Reading:
    """Return how the settings say that data are read."""
    columns = Columns(config.instruction_column, config.response_column, config.task_column, config.client_column)
    return Reading(columns, config.format, config.seed, config.hub_folder, config.on_bad_row)


def load_data(config: RunConfig, shares: Shares | None = None) -> tuple[Shares, Sequence[Example]]:
    """Load the data that `config` names, or take `shares`; return them without the held-out tasks, and the test rows of
    these."""
    if shares is None:
        shares = load_shares(config.data, reading_of(config))
    return _without(shares, config.hold_out, "hold_out") if config.hold_out else (shares, ())


def partition_data(config: RunConfig, shares: Shares | None = None) -> RunData:
    """Partition the data that `config` names, or `shares`: the same clients, whatever the method.

    Raises:
        UserError: the data cannot be partitioned so, or have no task of a name to be held out or to be brought by the
            drift.
    """
    shares, held = load_data(config, shares)
    _check_sizes(config, len(shares.train))
    options = parse_options(config.option)
    wanted = Wanted(
        config.clients, config.seed, config.examples_per_client, config.test_examples_per_client, config.alpha
    )
    split = find_split(config.split, options)
    used = [split]
    before = _without(shares, config.drift_brings, "drift_brings")[0] if config.drift_brings else shares
    clients = partition(before.train, before.test, split, wanted)
    drifted: tuple[ClientShares, ...] = ()
    if config.drift_at:
        used.append(find_split(config.drift_to, options))
        drifted = partition(shares.train, shares.test, used[-1], wanted)
    if config.drift_brings:
        # All tasks are tested in the end, whoever held them when.
        clients = tuple(replace(own, test_all=new.test_all) for own, new in zip(clients, drifted, strict=True))
        _check_same_clients(used, before, shares, config)
    naming = next((one for one in used if one.client_ids(shares.train, config.clients)), split)
    return RunData(
        shares,
        clients,
        drifted,
        tuple(split_iid(held, config.clients, config.test_examples_per_client, config.seed)) if held else (),
        tuple(naming.client_ids(shares.train, config.clients)),
        (*shares.notes, *naming.notes(shares.train, shares.test, config.clients)),
        shares.validation,
    )


def _check_sizes(config: RunConfig, rows: int) -> None:
    """Refuse more clients, or a larger batch, than the data have rows for, before anything is made for each of them.

    Raises:
        UserError: they have not.
    """
    if config.clients > max(rows, _FEW):
        raise UserError(f"--clients {config.clients}: --data {config.data} has {rows:,} training rows; give fewer")
    if config.batch_size > max(rows, _FEW):
        raise UserError(f"--batch-size {config.batch_size}: --data {config.data} has {rows:,} training rows; give less")


def check_new(config: RunConfig, data: RunData) -> None:
    """Refuse what no new run may be: one that validates without validation rows, or whose drift changes nothing.

    Raises:
        UserError: it is one.
    """
    if data.drifted and [own.train for own in data.drifted] == [own.train for own in data.clients]:
        raise UserError(
            f"--drift-to {config.drift_to}: gives the clients the rows that --split {config.split} gives them; take "
            "another split, or have --drift-brings name a task that they get by it"
        )
    if config.eval_every and not data.validation:
        raise UserError(
            f"--eval-every {config.eval_every}: the data has no validation share, and test rows are for the final "
            "evaluation only; add a validation file or drop --eval-every"
        )


def checked_shares(shares: Shares) -> Shares:
    """Return shares, which may be lists, as tuples; refuse examples without text, as a file's rows without text are.

    Raises:
        UserError: naming the share and the position.
    """
    for name in ("train", "validation", "test"):
        if name != "validation" and not getattr(shares, name):
            raise UserError(f"shares.{name}: holds no example; give at least one per client")
        for position, example in enumerate(getattr(shares, name)):
            for field in ("instruction", "response", "task", "client"):
                value = getattr(example, field)
                where, needed = f"shares.{name}[{position}]: its {field}", field in ("instruction", "response")
                if value is None and not needed:
                    continue
                if not isinstance(value, str) or (needed and not value.strip()):
                    raise UserError(f"{where} is {value!r}; give a text{'' if needed else ' or None'}")
                if half_character(value):
                    raise UserError(f"{where} holds half a character (surrogate): {value!r}; correct it")
    return replace(shares, train=tuple(shares.train), validation=tuple(shares.validation), test=tuple(shares.test))


def _without(shares: Shares, tasks: Collection[str], setting: str) -> tuple[Shares, list[Example]]:
    """Take the tasks that a setting names out of all shares; return them and the tasks' test examples."""
    known = tasks_of(shares.train)
    tested = {example.task for example in shares.test}
    for task in tasks:
        if task not in known or task not in tested or len(known) < 2:
            raise UserError(
                f"{flag(setting)} {task}: must be one of at least two tasks that training and test data have; there "
                f"are: {', '.join(known) or 'none (name the column with --task-column)'}"
            )
    if not set(known) - set(tasks):
        named = " ".join(f"{flag(setting)} {task}" for task in tasks)
        raise UserError(f"{named}: are all tasks that there are; leave some to train")
    held = [example for example in shares.test if example.task in tasks]
    return shares.without(*tasks), held


def _check_same_clients(used: Sequence[Split], before: Shares, after: Shares, config: RunConfig) -> None:
    """Refuse data whose clients, where it names them, are others without the rows that the drift brings."""
    for split in used:
        if split.client_ids(before.train, config.clients) != split.client_ids(after.train, config.clients):
            raise UserError(
                f"--drift-brings {config.drift_brings[0]}: without it the first {config.clients} clients that the data "
                "name are others; bring a task that no client consists of"
            )
