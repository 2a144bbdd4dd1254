"""What runs are called where they stand side by side: by method, and by the settings that tell them apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import path_settings
from fedrouter_sim.runs.entries import unread


@dataclass(frozen=True)
class Told:
    """What a run is told apart by."""

    method: str
    split: str
    seed: int
    settings: Mapping[str, Any]  # as `portable` returns them


def portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings without the folders that files and models lie in, which are others on another machine."""
    local = {name for name in path_settings() if Path(str(settings.get(name, ""))).is_absolute()}
    return {name: Path(value).name if name in local else value for name, value in settings.items()}


def names_of(runs: Sequence[Told], beside: Sequence[Told] = ()) -> list[str]:
    """Return what runs are called: the method, with the settings in which runs of it differ on the same clients.

    Args:
        runs: the runs.
        beside: all that they are planned to stand beside; none: each other. What a run does not read is in no planned
            name, as a finished run may have other values of it.
    """
    alike: dict[str, list[Told]] = {}
    for run in beside or runs:
        alike.setdefault(run.method, []).append(run)
    varied = {method: _varied(own) for method, own in alike.items()}
    found = []
    for run in runs:
        without = unread(run.settings) if beside else ()
        names = [name for name in varied.get(run.method, ()) if name not in without]
        told = ", ".join(f"{name}={run.settings[name]}" for name in names)
        found.append(f"{run.method} ({told})" if told else run.method)
    return found


def _varied(runs: Sequence[Told]) -> list[str]:
    """Return the settings in which runs of a method differ on the same clients, sorted."""
    values: dict[tuple[str, str, int], set[str]] = {}
    for run in runs:
        for name, value in run.settings.items():
            values.setdefault((name, run.split, run.seed), set()).add(repr(value))
    names = sorted({name for (name, *_), own in values.items() if len(own) > 1})
    # What only follows from other settings names nothing.
    return [name for name in names if not all(_follows(name, run.settings) for run in runs)]


def _follows(name: str, settings: Mapping[str, Any]) -> bool:
    """Say whether a setting has the value that follows from the others."""
    derive = RunConfig.__dataclass_fields__[name].metadata["derive"]
    return derive is not None and settings[name] == derive(SimpleNamespace(**settings))
