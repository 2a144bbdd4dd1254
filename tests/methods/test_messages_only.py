"""Methods plan from messages alone: every method runs the same with clients that answer nothing but messages."""

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from fedrouter_sim import messages
from fedrouter_sim.arrays import Floats
from fedrouter_sim.federation.federation import Federation, build_federation
from fedrouter_sim.federation.observers import Observer
from fedrouter_sim.federation.outbox import Outbox
from fedrouter_sim.federation.plan import Plan
from fedrouter_sim.federation.questions import Question
from fedrouter_sim.federation.workers import Order, Workers
from fedrouter_sim.messages import Failed, Update
from fedrouter_sim.methods import METHODS, find_method
from fedrouter_sim.partition.run_data import partition_data
from fedrouter_sim.simulation import simulate

SETTINGS = {"rounds": 2, "warmup_rounds": 1, "local_steps": 2, "drift_at": 2, "drift_to": "single"}


class MessagesOnly(Workers):
    """Passes on what other workers say, if it is a message, as a copy; there is no way to a client."""

    def __init__(self, inner: Workers) -> None:
        self.__inner = inner

    @property
    def outbox(self) -> Outbox:
        return self.__inner.outbox

    def train(
        self, orders: Sequence[Order], observer: Observer, received: Sequence[Update | Failed] = ()
    ) -> Iterator[Update | Failed]:
        return map(checked, self.__inner.train(orders, observer, received))

    def ask(self, question: Question[Any], clients: Iterable[int] | None = None) -> list[Any]:
        return [checked(answer) for answer in self.__inner.ask(question, clients)]

    def kept_sketches(self) -> Mapping[int, Mapping[int, Floats]]:
        return self.__inner.kept_sketches()

    def recall(self, sketches: Mapping[int, Mapping[int, Floats]]) -> None:
        self.__inner.recall(sketches)

    def gathered(self) -> "MessagesOnly":
        return MessagesOnly(self.__inner.gathered())

    def after_drift(self) -> "MessagesOnly":
        return MessagesOnly(self.__inner.after_drift())


def checked(message: Any) -> Any:
    """Return a copy of a message, which is one of `messages` and holds numbers, arrays and names only."""
    assert type(message).__module__ == messages.__name__ and message.nbytes >= 0
    check_plain(message)
    return copy.deepcopy(message)


def check_plain(value: Any) -> None:
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            check_plain(getattr(value, field.name))
    elif isinstance(value, dict):
        for key, one in value.items():
            assert isinstance(key, str) and "lora" in key and str(one.dtype) == "torch.float32"
    elif isinstance(value, tuple):
        for one in value:
            check_plain(one)
    else:
        assert value is None or isinstance(value, int | float | str | np.ndarray), type(value)


@pytest.mark.parametrize("name", METHODS.names)
def test_a_run_over_messages_alone_is_the_same_run(
    federate: Callable[..., Federation], same: Callable[[Any, Any], bool], name: str
) -> None:
    known = simulate(federate(method=name, **SETTINGS), find_method(name), Observer())
    federation = federate(method=name, **SETTINGS)
    blind = dataclasses.replace(federation, workers=MessagesOnly(federation.workers))
    outcome = simulate(blind, find_method(name), Observer())
    assert outcome.adapters.keys() == known.adapters.keys()
    assert all(same(outcome.adapters[pool], known.adapters[pool]) for pool in known.adapters)
    assert [stage.plan.groups for stage in outcome.stages] == [stage.plan.groups for stage in known.stages]
    assert outcome.traffic == known.traffic
    untimed = [[dataclasses.replace(record, seconds={}) for record in one.records] for one in (outcome, known)]
    assert untimed[0] == untimed[1]


@pytest.mark.parametrize("given", [{"tasks": "auto"}, {"tasks": 3, "affinity": "gradient"}])
def test_the_tasks_are_found_over_messages_alone(federate: Callable[..., Federation], given: dict[str, Any]) -> None:
    """Also what the questions carry may be copied."""

    class Copying(MessagesOnly):
        def ask(self, question: Question[Any], clients: Iterable[int] | None = None) -> list[Any]:
            return super().ask(copy.deepcopy(question), clients)

    known = find_method("fedrouter").plan(federate(**given))
    federation = federate(**given)
    blind = dataclasses.replace(federation, workers=Copying(federation.workers))
    found = find_method("fedrouter").plan(blind)
    assert found.groups == known.groups and found.pools == known.pools
    assert found.archive is not None and known.archive is not None
    assert found.archive.assignment == known.archive.assignment
    assert any(message.halves is not None for message in found.archive.clients)


def test_tasks_are_born_over_messages_alone(births_config: Callable[..., Any], backbone: Any) -> None:
    def grown(wrapped: bool) -> Plan:
        config = births_config()
        federation, method = build_federation(config, partition_data(config), backbone), find_method("fedrouter")
        if wrapped:
            federation = dataclasses.replace(federation, workers=MessagesOnly(federation.workers))
        return method.follow(federation.after_drift(), method.plan(federation))

    known, found = grown(wrapped=False), grown(wrapped=True)
    assert (found.groups, found.pools) == (known.groups, known.pools) and len(found.pools) == 3


@pytest.mark.parametrize("name", METHODS.names)
def test_no_message_of_a_plan_holds_a_text_of_the_data(federate: Callable[..., Federation], name: str) -> None:
    """But for the labels, which oracle and central ask for."""
    federation = federate(method=name)
    heard: list[Any] = []

    class Listening(MessagesOnly):
        def ask(self, question: Question[Any], clients: Iterable[int] | None = None) -> list[Any]:
            answers = super().ask(question, clients)
            heard.extend(answers)
            return answers

    find_method(name).plan(dataclasses.replace(federation, workers=Listening(federation.workers)))
    names = {part for m in heard if isinstance(m, messages.Grouping) for part in m.names}
    assert names <= {"opinion", "reverse", "sum", "title"} and (name in ("oracle", "central")) == bool(names)
