"""The outbox: all that leaves a client passes it, and it alone counts bytes."""

from dataclasses import dataclass, replace
from typing import Any

from fedrouter_sim.federation.outbox import Outbox, Traffic


@dataclass(frozen=True)
class Sized:
    nbytes: int


def test_a_message_arrives_as_it_was_sent_and_counts_as_up() -> None:
    outbox, message = Outbox(), Sized(7)
    assert outbox.send(message) is message
    assert outbox.total == Traffic(up=7, down=0)


def test_what_is_delivered_to_clients_counts_as_down() -> None:
    outbox = Outbox()
    outbox.deliver(5)
    outbox.deliver(6)
    assert outbox.total == Traffic(up=0, down=11)


def test_a_message_of_no_size_stays_with_the_client() -> None:
    outbox = Outbox()
    outbox.send(Sized(0))
    assert outbox.total == Traffic()


def test_what_was_taken_is_taken_once_and_stays_in_the_total() -> None:
    outbox = Outbox()
    outbox.send(Sized(7))
    outbox.deliver(5)
    assert outbox.take() == Traffic(7, 5)
    assert outbox.take() == Traffic(0, 0)
    outbox.send(Sized(1))
    assert outbox.total == Traffic(8, 5)
    assert outbox.take() == Traffic(1, 0)


@dataclass(frozen=True)
class Grows:
    by: int

    def __call__(self, message: Any, client: int, start: Any) -> Any:
        return replace(message, nbytes=message.nbytes * 10 + self.by)


def test_a_message_goes_through_its_clients_steps_in_order_and_is_counted_as_it_arrives() -> None:
    outbox = Outbox([Grows(1), Grows(2)], {5: [Grows(3)], 6: []})
    assert [outbox.send(Sized(0), client).nbytes for client in (4, 5, 6)] == [12, 3, 0]
    assert outbox.total == Traffic(up=15)


def test_what_was_sent_in_an_earlier_process_is_counted_and_goes_through_no_step() -> None:
    outbox, message = Outbox([Grows(1)]), Sized(7)
    assert outbox.count(message) is message
    assert outbox.send(message) is message  # of nobody in particular
    assert outbox.total == Traffic(up=14)
