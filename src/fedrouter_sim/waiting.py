"""How threads of OpenMP wait for each other: they spin where cores are free, and sleep where others need them.

Spinning is the quicker on an idle machine. On a loaded one it stalls: a thread that spins takes the core of the one
that it waits for. The number of threads stays what it was, as results depend on it, in their last digits.
"""

import os
import sys
from collections.abc import MutableMapping

from fedrouter_sim.machine import usable_cores

_OWN_CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which the user says how threads wait."""

_SLACK = 0.5
"""Cores that others may take, on the average of a minute, of those that the threads want: what a system itself does."""

_chosen: list[str] = []


def choose_waiting(environment: MutableMapping[str, str] | None = None) -> None:
    """Have threads wait asleep where the machine's load leaves them too few cores, unless the user has said how.

    OpenMP looks once, when torch is loaded; afterwards there is nothing to choose.

    Args:
        environment: of the process; None: `os.environ`.
    """
    given = os.environ if environment is None else environment
    if "torch" in sys.modules or any(name in given for name in _OWN_CHOICES):
        return
    if (load := _load()) is None:
        return
    first = given.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    threads = int(first) if first.isdecimal() else usable_cores()
    cores = os.cpu_count() or 1
    if threads > 1 and load + threads > cores + _SLACK:
        given["OMP_WAIT_POLICY"] = "PASSIVE"
        _chosen[:] = [f"by this program, as the load is {load:.1f} on {cores} cores"]


def chosen() -> str | None:
    """Return why threads wait asleep; None where nothing was chosen."""
    return _chosen[0] if _chosen else None


def _load() -> float | None:
    """Return how many processes have wanted a core, on the average of the last minute; None where it is not known."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None
