"""Ctrl-C and SIGTERM: once to stop at the next good moment, twice to stop at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SOON = 0.05  # seconds: a destructor has ended by then


class Stop:
    """Whether work is to stop; asked at moments at which it may."""

    def __init__(self) -> None:
        self._ask: Callable[[], Any] | None = None
        self.holds = True
        """Whether a signal is held back: not where nothing is there yet that could be saved."""

    def check(self) -> None:
        """Stop, as the signal would have stopped it at once, if one came.

        Raises:
            KeyboardInterrupt: one came.
        """
        if self._ask is not None:
            ask, self._ask = self._ask, None
            ask()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Have a signal that comes meanwhile, or has come, stop at once: there is nothing to save.

        Raises:
            KeyboardInterrupt: one came.
        """
        self.holds = False
        try:
            self.check()
            yield
        finally:
            self.holds = True

    def heard(self, ask: Callable[[], Any]) -> None:
        """Have the next `check` do this."""
        self._ask = ask


@contextmanager
def stoppable(tell: Callable[[str], None]) -> Iterator[Stop]:
    """Hold back the first signal until `Stop.check`; the second one does what it does elsewhere.

    A signal that Python does not handle, as SIGTERM in a program of one's own, keeps doing what it does. Nothing is
    held back in other threads than the main one, which get no signals.

    Args:
        tell: is told when a signal is held back.
    """
    stop = Stop()
    before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def put_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def first(number: int, frame: FrameType | None) -> None:
        put_back()
        handler = before[number]
        if not stop.holds:
            handler(number, frame)
            return
        stop.heard(lambda: handler(number, frame))
        with suppress(RuntimeError, OSError):  # it may have come in the middle of a line
            tell("stopping after this step; a second time stops at once")

    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, first)
    try:
        yield stop
    finally:
        put_back()


def interrupt_again_where_swallowed(by: Callable[[], int] = lambda: signal.SIGINT) -> None:
    """Have an interrupt that came while Python ran a destructor come again, as Python prints it and goes on.

    For a process of ours alone: it replaces `sys.unraisablehook`.

    Args:
        by: says the signal by which it comes.
    """
    before = sys.unraisablehook

    def hook(swallowed: "sys.UnraisableHookArgs") -> None:
        if issubclass(swallowed.exc_type, KeyboardInterrupt):
            # Not here: it would be swallowed once more.
            threading.Timer(_SOON, os.kill, (os.getpid(), by())).start()
        else:
            before(swallowed)

    sys.unraisablehook = hook
