"""How long the phases of a run took."""

from collections.abc import Mapping
from time import perf_counter

from fedrouter_sim.simulation import Outcome


class Clock:
    """Seconds by phase, those of earlier processes included."""

    def __init__(self) -> None:
        self._started = self._last = perf_counter()
        self._found: dict[str, float] = {}
        self._before: dict[str, float] = {}

    def add(self, before: Mapping[str, float]) -> None:
        """Count what an earlier process took."""
        self._before = dict(before)

    def so_far(self) -> dict[str, float]:
        """Return what another process will have to count: the seconds of each phase that is over, and of all."""
        phases = {phase: self._of(phase) for phase in {**self._found, **self._before}}
        return phases | {"total": self._before.get("total", 0.0) + perf_counter() - self._started}

    def _of(self, phase: str) -> float:
        return self._found.get(phase, 0.0) + self._before.get(phase, 0.0)

    def done(self, phase: str) -> None:
        """End a phase, which began where the last one ended."""
        now = perf_counter()
        self._found[phase] = now - self._last
        self._last = now

    def seconds(self, outcome: Outcome) -> dict[str, float]:
        """Return the seconds of every phase, rounded to milliseconds."""
        found = {"load": self._of("load"), "setup": self._of("plan")}
        for phase in ("train", "aggregate"):
            found[phase] = sum(record.seconds[phase] for record in outcome.records)
        found |= {"evaluate": self._of("evaluate"), "total": self.so_far()["total"]}
        return {phase: round(value, 3) for phase, value in found.items()}
