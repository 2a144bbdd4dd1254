"""Whether a finished run is the one that a plan names: of the same settings, data, backbone and own files."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fedrouter_sim.backbone.locating import has_digest, resolve_model
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError
from fedrouter_sim.partition.run_data import load_data
from fedrouter_sim.runs.entries import own_digests, unread
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.showing import shown
from fedrouter_sim.studies.naming import portable

Absent = Callable[[str], None]
"""Is told why something is not compared: it is not here."""


@dataclass(frozen=True)
class Origin:
    """What a finished run was made of; the SHA-256 of all that is not in its settings."""

    settings: Mapping[str, Any]  # as `portable` returns them
    data: str | None
    backbone: str | None
    own: Mapping[str, str]  # of the files of the user's own entries, by setting

    @classmethod
    def of(cls, run: Run) -> "Origin":
        """Return that of a run whose folder is there."""
        data, backbone = (run.manifest.get(f"{name}_sha256") for name in ("data", "backbone"))
        return cls(portable(run.config.to_dict()), data, backbone, run.own_digests)


class Origins:
    """Compares with what runs would be made of now; each file is read once.

    Args:
        absent: is told why something cannot be compared, which then counts as the same; None: that is refused.
    """

    def __init__(self, absent: Absent | None = None) -> None:
        self._absent = absent
        self._of_data = cache(lambda key: load_data(RunConfig(**dict(key)))[0].digest())
        self._is_model = cache(lambda name, recorded: has_digest(resolve_model(name), recorded))

    def check(self, planned: RunConfig, found: Origin, where: str, remedy: str) -> None:
        """Refuse a finished run that is another than the planned one. Settings that it does not read may differ.

        Args:
            planned: the settings of the plan.
            found: what the run was made of.
            where: it is, for messages.
            remedy: what to do about it.

        Raises:
            UserError: a setting is another, or a file has changed.
        """
        old, new = found.settings, portable(planned.to_dict())
        without = unread(new)
        for name in new:
            if name not in without and old[name] != new[name]:
                raise UserError(
                    f"{where}: was run with {name} = {shown(old[name])}, the plan says {shown(new[name])}; {remedy}"
                )
        if changed := self._changed(planned, found, without):
            raise UserError(f"{where}: the {changed} has changed since it was run; {remedy}")

    def _changed(self, planned: RunConfig, found: Origin, without: Collection[str]) -> str | None:
        names = (
            "data hub_folder format seed hold_out instruction_column response_column task_column client_column "
            "on_bad_row".split()
        )
        data = tuple((name, getattr(planned, name)) for name in names)

        def read(digests: Mapping[str, str]) -> dict[str, str]:
            return {name: digest for name, digest in digests.items() if name not in without}

        comparisons: dict[str, Callable[[], bool]] = {
            "data": lambda: found.data == self._of_data(data),
            "backbone": lambda: self._is_model(planned.model, str(found.backbone)),
            "file of your own method, split, rule or metric": lambda: read(found.own) == read(own_digests(planned)),
        }
        return next((name for name, is_same in comparisons.items() if not self._same(is_same)), None)

    def _same(self, is_same: Callable[[], bool]) -> bool:
        try:
            return is_same()
        except UserError as error:
            if self._absent is None:
                raise
            self._absent(str(error))
            return True
