"""Where a run's workers are: how many, and in which cluster of Ray. The package is imported only when it is used."""

import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from math import ceil
from traceback import walk_tb
from typing import Any

from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.packages import installed_version

# Ray reads these when it is imported. A user's own values hold.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # or it reports its use to its makers
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # or it prints on standard output, which is for results, that a worker died
    "RAY_AUTH_MODE": "token",  # nobody else on the machine is served
    "RAY_worker_niceness": "0",  # or its processes stand behind all others of a busy machine, by 15
    "RAY_agent_register_timeout_ms": "120000",  # or a node gives up after 15 s on a busy machine
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a worker without a card sees none
}
_FEWEST, _A_PROCESSOR = 16, 4
"""So many workers Ray may be started with on this machine: 16, or 4 for each processor; each takes half a GB."""

_TRIES = 3
"""So often Ray is started: it gives its own processes 30 seconds, which nothing changes."""

_TOKENS = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}


@dataclass(frozen=True)
class Engine:
    """Which workers a run is to have, beside the process that leads it."""

    workers: int | None = None  # None: one a processor of the cluster
    address: str | None = None  # of a Ray cluster; None: Ray is started on this machine

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers {self.workers}: must be at least 1")
        if self.workers is None and self.address is None:
            raise UserError("--workers: has to say how many, where --ray names no cluster")
        if self.address is not None and self.address.strip() in ("", "local"):  # Ray would start one of its own
            raise UserError(f"--ray {self.address!r}: names no cluster; for this machine give --workers alone")
        processors = os.cpu_count() or 1
        most = max(_FEWEST, _A_PROCESSOR * processors)
        if self.address is None and self.workers is not None and self.workers > most:
            raise UserError(
                f"--workers {self.workers}: this machine has {processors} processors; give at most {most}, or a "
                "cluster by --ray"
            )

    @classmethod
    def wanted(cls, workers: int | None, address: str | None) -> "Engine | None":
        """Return the engine that is asked for; None where it is this process alone.

        Raises:
            UserError: less than one worker is asked for, or the package ray is missing.
        """
        if workers is None and address is None:
            return None
        engine = cls(workers, address)
        if not installed():
            name = "--workers" if address is None else "--ray"
            raise UserError(f"{name}: the package ray is not installed; `pip install 'fedrouter-sim[ray]'`")
        return engine


def share_of_card(workers: int, cards: int) -> float:
    """Return how much of a card each worker takes: as many are on one as are needed, since a share lies on one card."""
    return 1 / ceil(workers / cards) if cards else 0.0


def installed() -> bool:
    """Say whether the extra is there."""
    return find_spec("ray") is not None


def engine_record(workers: int | None) -> dict[str, Any]:
    """Return what a run's manifest says of who trained its clients: so many workers; None: the process itself."""
    if workers is None:
        return {"engine": "process", "workers": 1}
    return {"engine": f"ray {installed_version('ray')}", "workers": workers}


@contextmanager
def connected(engine: Engine) -> Iterator[Any]:
    """Yield Ray, connected; a program that is connected already stays so."""
    if "ray" not in sys.modules:  # later it reads none of these, or some of its processes do and others do not
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        if engine.address is None and not _TOKENS & os.environ.keys():
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # or Ray leaves one in the home folder
    ray: Any = import_module("ray")
    if ray.is_initialized():
        yield ray
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        _join(ray, engine)
    except BaseException as error:  # of many types, where nothing answers at an address or a token is wrong
        ray.shutdown()
        if not isinstance(error, Exception):  # Ctrl-C
            raise
        if engine.address is None:
            raise UserError(
                f"--workers {engine.workers}: Ray does not start on this machine ({first_line(error)})"
            ) from error
        raise UserError(
            f"--ray {engine.address}: no Ray cluster can be joined there ({first_line(error)}); start one with `ray "
            "start --head`, and set RAY_AUTH_TOKEN as it has it"
        ) from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray takes it, and ends the process without a word
    try:
        yield ray
    finally:
        ray.shutdown()


def _join(ray: Any, engine: Engine) -> None:
    """Connect to a cluster, or start one; once more where it did not start in time, as on a machine that is busy."""
    local = {"num_cpus": engine.workers, "include_dashboard": False} if engine.address is None else {}
    for left in range(_TRIES - 1, -1, -1):
        try:
            ray.init(engine.address or "local", log_to_driver=False, logging_level="ERROR", **local)
            return
        except Exception as error:
            _end_what_was_begun(error)
            if not (left and local and "timed out" in str(error)):
                raise
            ray.shutdown()


def _end_what_was_begun(error: Exception) -> None:
    """End the processes of a node that did not come to be: Ray forgets them, and they would last as long as this one.

    Only its half-made node knows them, which nothing but the error leads to.
    """
    for frame, _ in walk_tb(error.__traceback__):
        end = getattr(frame.f_locals.get("self"), "kill_all_processes", None)
        if end is not None:
            with suppress(Exception):
                end(check_alive=False)
