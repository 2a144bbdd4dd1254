"""The outbox: all that leaves a client passes it, and it alone counts bytes."""

from dataclasses import dataclass

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


def test_steps_are_done_in_their_order_and_what_comes_out_is_counted() -> None:
    outbox = Outbox([lambda message: Sized(message.nbytes + 1), lambda message: Sized(message.nbytes * 10)])
    assert outbox.send(Sized(7)) == Sized(80)
    assert outbox.total.up == 80
