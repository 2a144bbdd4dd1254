"""A study: methods x splits x seeds from a TOML plan, each a run folder, then compared and its claims judged."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from fedrouter_sim.backbone import Backbone
from fedrouter_sim.comparison import Claim, Comparison, Judged, open_comparison
from fedrouter_sim.config import RunConfig, typed_setting
from fedrouter_sim.errors import UserError
from fedrouter_sim.methods import find_method
from fedrouter_sim.operations.train import Display, train
from fedrouter_sim.run_folder import Run


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study."""

    name: str  # of its folder
    config: RunConfig


@dataclass(frozen=True)
class Study:
    """What is run and claimed, written down before anything runs."""

    title: str
    runs: tuple[PlannedRun, ...]
    claims: tuple[Claim, ...]

    def pending(self, out: Path) -> list[PlannedRun]:
        """Return the runs that are not in `out` yet.

        Raises:
            UserError: a run is there, but with other settings than the plan's.
        """
        return [run for run in self.runs if not _is_done(run, out)]


def read_study(path: Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read a study from its TOML plan.

    The plan has `title`, `seeds`, `[settings]` for all runs, `[[runs]]` with `methods`, `split`, and perhaps `seeds`
    and `settings` of their own, and `[[claims]]` with the fields of `Claim`. Seeds come first in the order of runs, so
    that an interrupted study has whole seeds.

    Args:
        path: the plan.
        overrides: settings that win over the plan's.

    Raises:
        UserError: the file is missing, is not such a plan, or a setting in it is not one.
    """
    plan = _read(path)
    unknown = plan.keys() - {"title", "seeds", "settings", "runs", "claims"}
    if unknown:
        raise UserError(
            f"{path}: {sorted(unknown)[0]!r} is no key of a plan; it has title, seeds, settings, runs, claims"
        )
    shared = _settings(path, plan.get("settings", {}))
    blocks = [
        _block(path, number, block, plan.get("seeds", [])) for number, block in enumerate(plan.get("runs", []), 1)
    ]
    if not blocks:
        raise UserError(f"{path}: has no [[runs]]; give at least one with methods and a split")
    seeds = list(dict.fromkeys(seed for block in blocks for seed in block.seeds))
    runs = [
        PlannedRun(
            f"{block.split}-{find_method(method).name}-seed{seed}",
            RunConfig.build(
                shared, block.settings, {"split": block.split, "method": method, "seed": seed}, overrides or {}
            ),
        )
        for seed in seeds
        for block in blocks
        if seed in block.seeds
        for method in block.methods
    ]
    names = [run.name for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path}: {twice} is planned twice; name each method once a split and seed")
    return Study(str(plan.get("title", path.stem)), tuple(runs), tuple(_claims(path, plan.get("claims", []))))


def run_study(
    study: Study, out: Path, display: Display, limit: int | None = None, workers: int = 1
) -> Iterator[tuple[PlannedRun, Run]]:
    """Run what has not been run, and yield each run as it is done.

    An interrupted study goes on where it was: a run folder is there whole or not at all. In this process one backbone
    serves all runs, one after the other. Several worker processes take a run each, in one thread each: a small model
    gains little from a second thread, and two runs side by side are nearly twice as fast.

    Args:
        study: what to run.
        out: folder of the run folders.
        display: is told of each run's progress; with several workers, of nothing.
        limit: most runs to do now; None for all.
        workers: processes.
    """
    pending = study.pending(out)[:limit]
    if workers > 1:
        with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            futures = {pool.submit(_run_one, planned, out, Display()): planned for planned in pending}
            try:
                for future in as_completed(futures):
                    future.result()
                    yield futures[future], Run(out / futures[future].name)
            finally:  # an error or an interrupt: what has not begun does not begin
                pool.shutdown(wait=False, cancel_futures=True)
        return
    for planned in pending:
        _run_one(planned, out, display)
        yield planned, Run(out / planned.name)


_loaded: dict[str, Backbone] = {}
"""The backbone that this process has in memory, from run to run."""


def _run_one(planned: PlannedRun, out: Path, display: Display) -> None:
    backbone = _loaded.get("backbone")
    if backbone is None or not backbone.serves(planned.config):
        backbone = _loaded["backbone"] = Backbone(planned.config)
    train(planned.config, out / planned.name, overwrite=False, display=display, backbone=backbone)


def conclude(study: Study, out: Path) -> tuple[Comparison, list[Judged]]:
    """Compare the finished runs of a study and judge its claims."""
    comparison = open_comparison([out / run.name for run in study.runs if (out / run.name).exists()])
    return comparison, [comparison.judge(claim) for claim in study.claims]


@dataclass(frozen=True)
class _Block:
    split: str
    methods: Sequence[str]
    seeds: Sequence[int]
    settings: Mapping[str, Any]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--plan {path}: cannot be read ({error}); give a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"--plan {path}: not TOML: {error}") from None


def _settings(path: Path, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"{path}: settings = {values!r} must be a table of settings")
    return {key: typed_setting(str(path), key, value) for key, value in values.items()}


def _block(path: Path, number: int, block: Any, seeds: Any) -> _Block:
    where = f"{path}, [[runs]] {number}"
    if not isinstance(block, dict) or (unknown := block.keys() - {"split", "methods", "seeds", "settings"}):
        raise UserError(f"{where}: {block if not isinstance(block, dict) else sorted(unknown)[0]!r} is no key of a run")
    methods, own = block.get("methods"), block.get("seeds", seeds)
    if not isinstance(methods, list) or not methods or not all(isinstance(method, str) for method in methods):
        raise UserError(f"{where}: methods = {methods!r} must be a list of methods")
    if not isinstance(own, list) or not own or not all(type(seed) is int for seed in own):
        raise UserError(f"{where}: seeds = {own!r} must be a list of whole numbers, here or at the top of the plan")
    split = typed_setting(where, "split", block.get("split"))
    return _Block(split, methods, own, _settings(path, block.get("settings", {})))


def _claims(path: Path, claims: Any) -> Iterator[Claim]:
    for number, claim in enumerate(claims, 1):
        try:
            yield Claim(**claim)
        except TypeError as error:
            raise UserError(f"{path}, [[claims]] {number}: {error}".replace("Claim.__init__()", "a claim")) from None


def _is_done(run: PlannedRun, out: Path) -> bool:
    folder = out / run.name
    if not folder.exists():
        return False
    found = Run(folder).config
    if found != run.config:
        old, new = found.to_dict(), run.config.to_dict()
        name = next(name for name in new if old[name] != new[name])
        raise UserError(
            f"{folder}: was run with {name} = {old[name]!r}, the plan says {new[name]!r}; remove it or give "
            "another --out"
        )
    return True
