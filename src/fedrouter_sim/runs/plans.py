"""A plan on disk: plan.json and plan.safetensors in a folder. With the adapters and the records it is all that a run
needs to go on after a round."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from fedrouter_sim.arrays import Ints
from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.groups import Group
from fedrouter_sim.federation.plan import Plan, Pool
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import RECIPE_NAME, Router
from fedrouter_sim.storage import read_json, write_json
from fedrouter_sim.tensors import Tensors
from fedrouter_sim.typed import Count, Misfit, fitted, taken

PLAN_NAME = "plan.json"
TENSORS_NAME = "plan.safetensors"
_EXAMPLES, _LOCAL, _STATE, _LINKED = "examples/", "local_clusters/", "state/", "linked/"  # what keys begin with


def save_plan(folder: Path, plan: Plan) -> None:
    """Write a plan into a folder; same plan, same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    groups = [{key: value for key, value in asdict(group).items() if key != "examples"} for group in plan.groups]
    record = {
        "groups": groups,
        "pools": [asdict(pool) for pool in plan.pools],
        "gathered": plan.gathered,
        "until": plan.until,
        "more_follows": plan.more_follows,
        "by_updates": plan.by_updates,
    }
    tensors: dict[str, NDArray[Any]] = {
        f"{_EXAMPLES}{number}": np.array(group.examples, dtype=np.int64) for number, group in enumerate(plan.groups)
    }
    tensors |= {f"{_LOCAL}{client}": labels for client, labels in plan.local_clusters.items()}
    tensors |= {f"{_STATE}{name}": value for name, value in plan.state.items()}
    if plan.linked is not None:
        tensors |= {f"{_LINKED}{name}": value for name, value in plan.linked.tensors().items()}
    (folder / TENSORS_NAME).write_bytes(save({key: np.ascontiguousarray(tensors[key]) for key in sorted(tensors)}))
    if plan.router is not None:
        plan.router.save(folder)
    if plan.archive is not None:
        plan.archive.save(folder)
    write_json(folder / PLAN_NAME, record)


def load_plan(folder: Path, own_rule: str | None = None) -> Plan:
    """Read a plan back.

    Args:
        folder: where it lies.
        own_rule: the FILE.py:CLASS that its router's rule may be; None: a shipped one.

    Raises:
        UserError: a file is missing or damaged.
    """
    record = read_json(folder / PLAN_NAME, "a folder that holds a plan needs it")
    tensors = Tensors(folder / TENSORS_NAME, "a folder that holds a plan needs it")
    try:
        listed = taken(record, "groups", list[dict[str, Any]])
        groups = tuple(_group(group, number, tensors) for number, group in enumerate(listed))
        linked = _below(_LINKED, tensors)
        pools = taken(record, "pools", tuple[Pool, ...])
        if not {group.pool for group in groups} <= {pool.name for pool in pools}:
            raise Misfit("a group is of a pool that there is none of")
        return Plan(
            groups=groups,
            pools=pools,
            router=Router.load(folder, own_rule) if (folder / RECIPE_NAME).exists() else None,
            archive=Archive.load(folder),
            local_clusters=_labels(tensors),
            state=_below(_STATE, tensors),
            linked=Linked.of_tensors(linked) if linked else None,
            gathered=taken(record, "gathered", bool),
            until=taken(record, "until", Count | None),
            more_follows=taken(record, "more_follows", bool),
            by_updates=taken(record, "by_updates", bool, True),  # which earlier versions did not write
        )
    except (ValueError, LookupError) as error:
        raise UserError(f"{folder}: its plan is missing or damaged ({error})") from None


def _group(record: Mapping[str, Any], number: int, tensors: Tensors) -> Group:
    examples = f"{_EXAMPLES}{number}"
    positions = tensors.whole(examples, tensors[examples].shape[:1]).tolist()
    if "examples" in record:
        raise Misfit(f"groups[{number}] says its examples itself")
    made: Group = fitted(Group, {**record, "examples": positions}, f"groups[{number}]")
    return made


def _labels(tensors: Tensors) -> dict[int, Ints]:
    """Return the local cluster of each example, by client."""
    names = [name for name in tensors if name.startswith(_LOCAL)]
    clients = fitted(Mapping[int, str], {name.removeprefix(_LOCAL): name for name in names}, "local clusters")
    return {client: tensors.whole(name, tensors[name].shape[:1]) for client, name in clients.items()}


def _below(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
