"""`~` in the paths that commands are given."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from fedrouter_sim.config.paths import path_settings
from fedrouter_sim.paths import at_home


def with_home(command: Callable[..., None]) -> Callable[..., None]:
    """Have `~` stand for the home folder in every path that a command gets, whatever its flag."""

    @wraps(command)
    def called(**values: Any) -> None:
        command(**{name: _expanded(value, name in path_settings()) for name, value in values.items()})

    return called


def _expanded(value: Any, may_be_path: bool) -> Any:
    if isinstance(value, list):
        return [_expanded(one, may_be_path) for one in value]
    if isinstance(value, Path):
        return Path(at_home(str(value)))
    return at_home(value) if may_be_path and isinstance(value, str) else value
