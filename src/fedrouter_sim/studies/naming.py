"""What runs are called where they stand side by side: by method, and by the settings that tell them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from fedrouter_sim.config import RunConfig


@dataclass(frozen=True)
class Told:
    """What a run is told apart by."""

    method: str
    split: str
    seed: int
    settings: Mapping[str, Any]


def name_of(run: Told, runs: Sequence[Told]) -> str:
    """Return a run's method, with the settings in which runs of that method differ on the same clients, if any.

    Args:
        run: the run.
        runs: all that it stands beside, or that are planned to.
    """
    alike = [other for other in runs if other.method == run.method]
    varied = sorted(
        name
        for name in run.settings
        for clients in {(other.split, other.seed) for other in alike}
        if len({repr(other.settings[name]) for other in alike if (other.split, other.seed) == clients}) > 1
    )
    # What only follows from other settings names nothing.
    varied = [name for name in varied if not all(_follows(name, other.settings) for other in alike)]
    told = ", ".join(f"{name}={run.settings[name]}" for name in dict.fromkeys(varied))
    return f"{run.method} ({told})" if told else run.method


def _follows(name: str, settings: Mapping[str, Any]) -> bool:
    """Say whether a setting has the value that follows from the others."""
    derive = RunConfig.__dataclass_fields__[name].metadata["derive"]
    return derive is not None and settings[name] == derive(SimpleNamespace(**settings))
