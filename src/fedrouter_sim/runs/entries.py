"""The table entries that a run's settings name: checked before work begins, and the user's own known by digest."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from fedrouter_sim.adapters.aggregation import AGGREGATIONS
from fedrouter_sim.adapters.sharing import SHARINGS
from fedrouter_sim.clustering.affinities import AFFINITIES
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.config.paths import table_settings
from fedrouter_sim.config.words import ANSWER, BACKBONE, MIX, NONE
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.metrics import METRICS
from fedrouter_sim.examples.formats import ROW_FORMATS
from fedrouter_sim.federation.attacks import ATTACKS
from fedrouter_sim.methods import METHODS
from fedrouter_sim.partition.splits import SPLITS
from fedrouter_sim.routing import ROUTERS
from fedrouter_sim.tables import Table, parse_options

TABLES: dict[str, Table[Any]] = {
    "methods": METHODS,
    "splits": SPLITS,
    "row formats": ROW_FORMATS,
    "aggregation rules": AGGREGATIONS,
    "sharing rules": SHARINGS,
    "affinities": AFFINITIES,
    "routers": ROUTERS,
    "attacks": ATTACKS,
    "metrics": METRICS,
}
"""The tables by the names that settings call them (`config.setting`)."""

TRAINING_SETTINGS = frozenset(
    "rounds participation local_steps budget batch_size lr lr_min weight_decay clip eval_every aggregation clip_update"
    " lora_rank lora_alpha lora_dropout lora_targets lora_layers client_dropout stragglers late"
    " min_participants".split()
)
"""Settings without effect where nothing is trained: with other values of them such a run is the same."""

LED_BY = {"attackers": "attack", "late": "stragglers", "dp_delta": "dp_epsilon", "dp_clip": "dp_epsilon"}
"""Settings without effect unless another is given."""


def named_entries(config: RunConfig) -> dict[str, tuple[Table[Any], str]]:
    """Return the table, under the setting's own flag, and the value of every setting that names an entry."""
    found = {}
    for name, table in table_settings().items():
        value, beside = str(getattr(config, name)), RunConfig.__dataclass_fields__[name].metadata["beside"]
        if value not in beside:
            found[name] = (replace(TABLES[table], flag=flag(name), beside=beside), value)
    return found


def check_names(config: RunConfig) -> None:
    """Refuse names that no table has, at once: nothing is imported and no file is run.

    Raises:
        UserError: there is no such entry.
    """
    for table, value in named_entries(config).values():
        if value not in (*table.rows, *table.older) and ":" not in value:
            table.class_of(value)


def check_entries(config: RunConfig, method: type[Any] | None = None) -> None:
    """Look up all entries that the settings name.

    Args:
        config: the settings.
        method: the class of the method, where it was given in Python: its file is not run then.

    Raises:
        UserError: there is no such entry, a file does not run, or an option is none of any entry's.
    """
    options = parse_options(config.option)
    known: dict[str, None] = {}
    named = named_entries(config)
    if "sharing" not in (method or METHODS.class_of(config.method)).uses:
        named.pop("sharing", None)  # the default has an effect, and options, where pools are tasks
    for setting, (table, value) in named.items():
        given = {"rank": config.lora_rank} if "rank" in table.given else {}
        entry = method if setting == "method" and method is not None else table.class_of(value)
        known |= dict.fromkeys(table.option_names(entry))
        made = table.make(entry, options, **given)  # an option of the wrong type is refused now, not after training
        if setting == "router":
            check_mixed(made, value, config.unseen)
    for name in options:
        if name not in known:
            there = f"there are: {', '.join(known)}" if known else "none of them takes any"
            raise UserError(
                f"--option {name}={options[name]}: is no option of the run's method, split, aggregation or "
                f"sharing rule, affinity, router, attack or metric; {there}"
            )


def check_mixed(rule: Any, name: str, on_unseen: str) -> None:
    """Refuse to mix adapters that are weighed for each token with the bare backbone: they have no weight to halve.

    Args:
        rule: the rule, or what is made of it.
        name: what --router calls it.
        on_unseen: what answers unseen texts.

    Raises:
        UserError: that is wanted.
    """
    if rule.together is not None and rule.together.for_each_token and on_unseen == MIX:
        raise UserError(f"--unseen {MIX}: does not go with --router {name}; take {ANSWER} or {BACKBONE}")


def own_digests(config: RunConfig) -> dict[str, str]:
    """Return the SHA-256 of the file of every entry that is the user's own, by setting."""
    found = {name: table.digest(value) for name, (table, value) in named_entries(config).items()}
    return {name: digest for name, digest in found.items() if digest is not None}


def check_trusted(
    config: RunConfig, digests: Mapping[str, str], settings: Collection[str], folder: str, trusts: bool
) -> None:
    """Refuse to run the user's own entries on a run folder's word.

    Args:
        config: of the run.
        digests: of the files in training, by setting.
        settings: whose entries are to be run.
        folder: of the run, as it is named in messages.
        trusts: whether files are run that this process was not told of by its user.

    Raises:
        UserError: a file is gone or has changed since, has no digest, or is not trusted.
    """
    named = named_entries(config)
    for name in settings:
        table, value = named.get(name, (None, ""))
        if table is None or not table.is_own(value):
            continue
        where = f"{flag(name)} {value}: {folder}"
        if name not in digests:
            raise UserError(f"{where} has no digest of this file, so it is not run; train the run anew")
        if table.digest(value) != digests[name]:
            raise UserError(
                f"{flag(name)} {value}: the file is gone or has changed since {folder} was trained with it; put it "
                "back or train the run anew"
            )
        if not trusts and not table.was_run(value):
            raise UserError(
                f"{where} names this file of code, which is not run on the folder's word; look into it, then give "
                "--trust-code"
            )


def unread_settings(method: str, splits: Collection[str]) -> frozenset[str]:
    """Return the settings that a run of a method on some splits does not read: with others it is the same run."""
    entry = METHODS.class_of(method)
    used = entry.uses.union(*(SPLITS.class_of(name).uses for name in splits))
    special = frozenset[str]().union(
        *(table.class_of(name).uses for table in (METHODS, SPLITS) for name in table.names)
    )
    return special - used if entry.trains else (special - used) | TRAINING_SETTINGS


def unread(settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the settings that a run did not read, by its method and splits and by what decides in their place; none
    are known where a method or a split is not shipped: its file is not run to look."""
    method, *splits = (str(settings.get(name, NONE)) for name in ("method", "split", "drift_to"))
    splits = [name for name in splits if name != NONE]
    shipped = method in METHODS.names and set(splits) <= set(SPLITS.names)
    return unread_settings(method, splits) | _overruled(settings.get("tasks")) if shipped else frozenset()


def _overruled(tasks: Any) -> frozenset[str]:
    """Return what a number of tasks decides in the place of."""
    return frozenset({"cut"} if isinstance(tasks, int) else ())


def unused_settings(config: RunConfig, given: frozenset[str]) -> list[str]:
    """Return which of the settings that the user gave will not matter, sorted."""
    splits = [name for name in (config.split, config.drift_to) if name != NONE]
    return sorted(given & unread_settings(config.method, splits))


def overruled_settings(config: RunConfig, given: frozenset[str]) -> dict[str, str]:
    """Return which of the settings that the user gave will not matter, and the one that decides in their place."""
    return dict.fromkeys(given & _overruled(config.tasks), "tasks")


def unled_settings(config: RunConfig, given: frozenset[str]) -> list[str]:
    """Return which of the settings that the user gave will not matter, as those that lead them (`LED_BY`) are as they
    are by default; sorted."""
    defaults = {name: RunConfig.__dataclass_fields__[name].default for name in LED_BY.values()}
    return [name for name in sorted(given & LED_BY.keys()) if getattr(config, LED_BY[name]) == defaults[LED_BY[name]]]
