"""Processes of Ray on this machine that do one long thing at a time, and can be asked to stop with what they have."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from fedrouter_sim.errors import MayPass, UserError
from fedrouter_sim.federation.engine import Engine, connected, share_of_card
from fedrouter_sim.stopping import interrupt_again_where_swallowed

Work = tuple[Any, ...]
"""A function and what it is given."""

Done = Callable[[Iterable[Work]], Iterator[tuple[int, UserError | None]]]
"""Has works done and yields the number of each as it is, or as it was refused, with why."""

_LOOK = 0.2  # seconds between two looks at what is done, in which Ctrl-C is heard
_ASKED = 2.0  # seconds to find out which process a seat is


class Seat:
    """A process from the inside. Ray keeps Ctrl-C from it; the leading process passes it on by a signal of its own."""

    def __init__(self, folder: str) -> None:
        """Get ready to work in one thread, in the folder in which the leading process is."""
        torch.set_num_threads(1)
        os.chdir(folder)
        self._busy = self._told = False
        signal.signal(signal.SIGUSR1, self._interrupt)
        interrupt_again_where_swallowed(lambda: signal.SIGUSR1)

    def process(self) -> int:
        """Return the id of the process."""
        return os.getpid()

    def do(self, work: Work) -> bool:
        """Do some work; return whether it came to its end, and was not interrupted."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        function, *given = work
        if self._told:  # before it began
            return False
        try:
            self._busy = True
            function(*given)
        except KeyboardInterrupt:
            return False
        finally:
            self._busy = False
        return True

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        handler = signal.getsignal(signal.SIGINT)  # the one of the work, which may put it off
        self._told = True
        if self._busy and callable(handler):
            handler(signal.SIGINT, frame)


@contextmanager
def seats(engine: Engine, most: int, kept: str) -> Iterator[Done]:
    """Have processes that work side by side, and let them go at the end.

    A work that is refused for good (`UserError`) leaves the others alone. If this process is interrupted, or a work
    fails otherwise, those under way are interrupted as well and waited for, so that they save what they have; if it is
    interrupted again, they are killed.

    Args:
        engine: how many there may be.
        most: works that there will be.
        kept: what to call the place where all that is done is kept.

    Raises:
        MayPass: of a work; or a process has died.
    """
    with connected(engine) as ray:
        here = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        number = min(most, engine.workers or 1)
        cards = int(ray.cluster_resources().get("GPU", 0))
        # Ray may be one that the program has connected to: its other machines have other files.
        own = {"num_cpus": 0, "num_gpus": share_of_card(number, cards), "scheduling_strategy": here}
        kind = ray.remote(Seat).options(**own, max_restarts=0, max_task_retries=0)
        idle = [kind.remote(str(Path.cwd())) for _ in range(number)]
        everyone = [(seat, seat.process.remote()) for seat in idle]
        running: dict[Any, tuple[int, Any]] = {}

        def done(works: Iterable[Work]) -> Iterator[tuple[int, UserError | None]]:
            # No more is handed over than is done at once: after an error or an interrupt nothing else begins.
            waiting = enumerate(works)
            while True:
                while idle and (new := next(waiting, None)) is not None:
                    seat = idle.pop()
                    running[seat.do.remote(new[1])] = new[0], seat
                if not running:
                    return
                for promise in ray.wait(list(running), timeout=_LOOK)[0]:
                    number, seat = running.pop(promise)
                    refused = _outcome(ray, promise, kept)
                    idle.append(seat)
                    yield number, refused

        try:
            yield done
        except BaseException:
            at_work = [seat for _, seat in running.values()]
            for seat, process in everyone:
                if seat in at_work:
                    try:
                        os.kill(ray.get(process, timeout=_ASKED), signal.SIGUSR1)
                    except Exception:  # it is not there yet, or gone: nothing is to be saved
                        with suppress(Exception):
                            ray.kill(seat)
            while running and ray.wait(list(running), num_returns=len(running), timeout=_LOOK)[1]:
                pass
            raise
        finally:
            for seat, _ in everyone:
                with suppress(Exception):
                    ray.kill(seat)


def _outcome(ray: Any, promise: Any, kept: str) -> UserError | None:
    """Return why a work was refused; None where it was done.

    Raises:
        KeyboardInterrupt: it was interrupted.
        MayPass: it cannot be done now; or its process has died.
    """
    try:
        ended = ray.get(promise)
    except ray.exceptions.RayTaskError as error:
        if not isinstance(error.cause, UserError):
            raise error.cause from error
        if isinstance(error.cause, MayPass):
            raise error.cause from None
        return error.cause
    except (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
        raise MayPass(
            f"--workers: a worker process died, perhaps for want of memory; the same command with --workers 1 goes on "
            f"in {kept}"
        ) from None
    if not ended:
        raise KeyboardInterrupt
    return None
