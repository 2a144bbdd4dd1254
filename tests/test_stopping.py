"""Ctrl-C and SIGTERM: the first waits for a good moment, the second does not."""

import os
import signal
import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from fedrouter_sim.stopping import interrupt_again_where_swallowed, stoppable


def test_the_first_signal_waits_and_says_so() -> None:
    told: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stoppable(told.append) as stop:
        stop.check()
        os.kill(os.getpid(), signal.SIGINT)
        assert told == ["stopping after this step; a second time stops at once"]
        stop.check()
        pytest.fail("it went on")
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_signal_does_not_wait() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), stoppable(lambda text: None):
        os.kill(os.getpid(), signal.SIGINT)
        reached.append(True)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it went on")
    assert reached


def test_where_nothing_could_be_saved_a_signal_stops_at_once() -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), stoppable(reached.append) as stop, stop.at_once():
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("it went on")
    with pytest.raises(KeyboardInterrupt), stoppable(reached.append) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with stop.at_once():
            pytest.fail("it went on")
    with stoppable(reached.append) as stop:
        with stop.at_once():
            pass
        with pytest.raises(KeyboardInterrupt):  # from here on it waits again
            os.kill(os.getpid(), signal.SIGINT)
            reached.append("later")
            stop.check()
    assert reached[1:] == [reached[0], "later"]


def test_a_signal_does_in_the_end_what_it_would_have_done(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with stoppable(lambda text: None) as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == []
            stop.check()
            stop.check()
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_python_does_not_handle_and_other_threads_are_left_alone() -> None:
    found: list[Any] = []

    def look(where: Callable[[], Any]) -> None:
        with stoppable(lambda text: None) as stop:
            stop.check()
            found.append(where())

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the command line, run in this process, sets one
    thread = Thread(target=look, args=(lambda: signal.getsignal(signal.SIGINT),))
    thread.start()
    thread.join()
    assert found == [before]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    look(lambda: signal.getsignal(signal.SIGTERM))
    assert found[1] is signal.SIG_DFL


def test_a_display_that_is_in_the_middle_of_a_line_does_no_harm() -> None:
    def busy(text: str) -> None:
        raise RuntimeError("reentrant call")

    with pytest.raises(KeyboardInterrupt), stoppable(busy) as stop:
        os.kill(os.getpid(), signal.SIGINT)
        stop.check()


def test_an_interrupt_within_a_destructor_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    others: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", others.append)
    interrupt_again_where_swallowed()
    with pytest.raises(KeyboardInterrupt):
        Interrupted()
        time.sleep(30)
    assert others == []

    class Broken:
        def __del__(self) -> None:
            raise ValueError("broken")

    Broken()
    assert [one.exc_type for one in others] == [ValueError]
