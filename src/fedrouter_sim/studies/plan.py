"""A study: methods x splits x seeds from a TOML plan, and what is claimed before anything runs."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import absolute_paths
from fedrouter_sim.config.reading import typed_setting
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import METRICS
from fedrouter_sim.methods import METHODS
from fedrouter_sim.parsing import parse_toml, read_bounded
from fedrouter_sim.partition.splits import SPLITS
from fedrouter_sim.partition.test_data import RUN_TEST_DATA
from fedrouter_sim.paths import at_home
from fedrouter_sim.runs.entries import check_entries
from fedrouter_sim.runs.reader import Run
from fedrouter_sim.showing import plain, shown
from fedrouter_sim.studies.comparison import Claim
from fedrouter_sim.studies.finished import Absent, Origin, Origins
from fedrouter_sim.studies.naming import Told, names_of, portable
from fedrouter_sim.studies.resampling import MOST_SEEDS

MOST_RUNS = 5_000  # of a plan


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

    @property
    def told(self) -> tuple[Told, ...]:
        """What its runs are told apart by, as they are when they have been run."""
        return tuple(map(_told, self.runs))

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that claims name."""
        return tuple(dict.fromkeys(claim.metric for claim in self.claims if claim.metric))

    def chosen(self, only: Sequence[str] = ()) -> list[PlannedRun]:
        """Return the runs whose names are of one of some patterns, as 'dual-*'; without patterns all.

        Raises:
            UserError: no run is of a pattern.
        """
        for pattern in only:
            if not any(fnmatchcase(run.name, pattern) for run in self.runs):
                raise UserError(f"--only {pattern}: no run of the plan is called so; there is {self.runs[0].name}")
        return [run for run in self.runs if not only or any(fnmatchcase(run.name, pattern) for pattern in only)]

    def pending(
        self, out: Path, recorded: Mapping[str, Origin] | None = None, absent: Absent | None = None
    ) -> list[PlannedRun]:
        """Return the runs that are not in `out` yet.

        Args:
            out: folder of the run folders.
            recorded: what further finished runs were made of, by name; their folders may be elsewhere.
            absent: as of `Origins`.

        Raises:
            UserError: a run is there, but with other settings, data, backbone or method file than the plan's.
        """
        origins, pending = Origins(absent), []
        for run in self.runs:
            folder = out / run.name
            if recorded and run.name in recorded:
                origins.check(
                    run.config, recorded[run.name], f"{run.name} of the records", "take another file of records"
                )
            elif folder.exists():
                origins.check(run.config, Origin.of(Run(folder)), str(folder), "remove it or give another --out")
            else:
                pending.append(run)
        return pending


def read_study(path: Path, overrides: Mapping[str, Any] | None = None) -> Study:
    """Read a study from its TOML plan.

    The plan has `title`, `seeds`, `[settings]` for all runs, `[[runs]]` with `methods`, `split`, and perhaps `seeds`
    and `settings` of their own and a `label` for their folders, and `[[claims]]` with the fields of `Claim`. Seeds come
    first in the order of runs, so that an interrupted study has whole seeds.

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
            f"{path}: {shown(sorted(unknown)[0])} is no key of a plan; it has title, seeds, settings, runs, claims"
        )
    shared = _settings(path, plan.get("settings", {}))
    blocks = [
        _block(path, number, block, plan.get("seeds", [])) for number, block in enumerate(_list(path, plan, "runs"), 1)
    ]
    if not blocks:
        raise UserError(f"{path}: has no [[runs]]; give at least one with methods and a split")
    _check_size(path, blocks)
    seeds = list(dict.fromkeys(seed for block in blocks for seed in block.seeds))
    runs = [
        _planned(block, method, seed, {**shared, **block.settings, **(overrides or {})})
        for seed in seeds
        for block in blocks
        if seed in block.seeds
        for method in block.methods
    ]
    counts = Counter(run.name for run in runs)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise UserError(
            f"{path}: {twice} is planned twice; name each method once per split and seed, or give a block with other "
            "settings a label"
        )
    names = _names(path, runs)
    claims = [
        _claim(f"{path}, [[claims]] {number}", claim, names)
        for number, claim in enumerate(_list(path, plan, "claims"), 1)
    ]
    return Study(plain(str(plan.get("title", path.stem))), tuple(runs), tuple(claims))


@dataclass(frozen=True)
class _Block:
    split: str
    methods: Sequence[str]
    seeds: Sequence[int]
    settings: Mapping[str, Any]
    label: str = ""  # by which the runs of a method that is planned several times are told apart


def _check_size(path: Path, blocks: Sequence[_Block]) -> None:
    """Refuse a plan of more runs than anyone waits for, before any of them is looked at."""
    for number, block in enumerate(blocks, 1):
        if len(block.seeds) > MOST_SEEDS:
            raise UserError(
                f"{path}, [[runs]] {number}: seeds are {len(block.seeds):,}; a plan has at most {MOST_SEEDS:,}"
            )
    count = sum(len(block.seeds) * len(block.methods) for block in blocks)
    if count > MOST_RUNS:
        raise UserError(f"{path}: plans {count:,} runs, and at most {MOST_RUNS:,} are planned in one; split the plan")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = read_bounded(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a TOML file") from None
    try:
        return parse_toml(text)
    except ValueError as error:
        raise UserError(f"{path}: not TOML: {error}") from None


def _settings(path: Path, values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise UserError(f"{path}: settings = {shown(values)} must be a table of settings")
    for key in ("method", "split", "seed"):
        if key in values:
            raise UserError(f"{path}: {key} is no setting of a plan; name it under [[runs]]")
    return {key: typed_setting(str(path), key, value) for key, value in values.items()}


def _list(path: Path, plan: Mapping[str, Any], key: str) -> list[Any]:
    found = plan.get(key, [])
    if not isinstance(found, list):
        raise UserError(f"{path}: {key} = {shown(found)} must be tables, [[{key}]]")
    return found


def _planned(block: _Block, method: str, seed: int, settings: Mapping[str, Any]) -> PlannedRun:
    config = absolute_paths(RunConfig.build(settings, {"split": block.split, "method": method, "seed": seed}))
    check_entries(config)
    label = f"-{block.label}" if block.label else ""
    name = f"{SPLITS.class_of(block.split).name}-{METHODS.class_of(method).name}{label}-seed{seed}"
    return PlannedRun(name, config)


def _block(path: Path, number: int, block: Any, seeds: Any) -> _Block:
    where = f"{path}, [[runs]] {number}"
    if not isinstance(block, dict) or (unknown := block.keys() - {"split", "methods", "seeds", "settings", "label"}):
        raise UserError(
            f"{where}: {shown(block if not isinstance(block, dict) else sorted(unknown)[0])} is no key of a run"
        )
    methods, own = block.get("methods"), block.get("seeds", seeds)
    if not isinstance(methods, list) or not methods or not all(isinstance(method, str) for method in methods):
        raise UserError(f"{where}: methods = {shown(methods)} must be a list of methods")
    if not isinstance(own, list) or not own or not all(type(seed) is int for seed in own):
        raise UserError(
            f"{where}: seeds = {shown(own)} must be a list of whole numbers, here or at the top of the plan"
        )
    split = at_home(typed_setting(where, "split", block.get("split")))
    SPLITS.class_of(split)  # an unknown one is refused here
    label = block.get("label", "")
    if not isinstance(label, str) or not re.fullmatch(r"[\w.-]*", label):
        raise UserError(f"{where}: label = {shown(label)} must be letters, digits, . - and _: it names folders")
    settings = _settings(path, block.get("settings", {}))
    return _Block(split, [at_home(method) for method in methods], own, settings, label)


def _names(path: Path, runs: Sequence[PlannedRun]) -> dict[str, list[str]]:
    """Return, by split, what the runs will be called in a comparison.

    Raises:
        UserError: two runs will be called the same.
    """
    told, found = list(map(_told, runs)), dict[str, list[str]]()
    seen: dict[tuple[str, str, int], str] = {}
    for run, one, name in zip(runs, told, names_of(told, told), strict=True):
        if (twin := seen.setdefault((name, one.split, one.seed), run.name)) != run.name:
            raise UserError(
                f"{path}: {twin} and {run.name} would both be {name} on {one.split} with seed {one.seed}: files and "
                "models go by their names without folders, and settings that a method does not read tell nothing; "
                "rename one, or leave one out"
            )
        found.setdefault(one.split, []).append(name)
    return {split: list(dict.fromkeys(own)) for split, own in found.items()}


def _claim(where: str, claim: Any, planned: Mapping[str, Sequence[str]]) -> Claim:
    """Return a claim, if the plan has the runs that it is about."""
    if not isinstance(claim, dict):
        raise UserError(f"{where}: {shown(claim)} must be a table")
    for field in fields(Claim):
        kinds = (int, float) if field.name == "least" else (str,)
        if field.name in claim and type(claim[field.name]) not in kinds:
            raise UserError(f"{where}: {field.name} = {shown(claim[field.name])} must be a {kinds[-1].__name__}")
    try:
        made = Claim(**claim)
    except TypeError as error:
        raise UserError(f"{where}: {error}".replace("Claim.__init__()", "a claim")) from None
    if made.metric and made.metric not in METRICS.names:
        raise UserError(f"{where}: metric = {shown(made.metric)}: choose one of {', '.join(METRICS.names)}")
    names = planned.get(made.split, ())
    for method in (made.method, made.baseline):
        # Behind a name stand, where they are not a method's own, the routing and the router: 'fedrouter/local@knn'.
        if not any(method == name or method.startswith((f"{name}/", f"{name}@")) for name in names):
            there = f"there are: {'; '.join(names)}" if names else "name it under [[runs]]"
            raise UserError(f"{where}: is about {method} on {made.split}, which is not planned; {there}")
    if made.test_data not in RUN_TEST_DATA:
        raise UserError(f"{where}: test_data = {shown(made.test_data)}: choose one of {', '.join(RUN_TEST_DATA)}")
    return made


def _told(run: PlannedRun) -> Told:
    config = run.config
    split, method = SPLITS.class_of(config.split).name, METHODS.class_of(config.method).name
    return Told(method, split, config.seed, portable(config.to_dict()))
