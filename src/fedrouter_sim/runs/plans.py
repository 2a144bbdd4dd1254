"""A plan on disk: plan.json and plan.safetensors in a folder. With the adapters and the records it is all that a run
needs to go on after a round."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from fedrouter_sim.clustering.linking import Linked
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.groups import Group, Pull
from fedrouter_sim.federation.plan import Plan, Pool
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.router import RECIPE_NAME, Router
from fedrouter_sim.storage import read_json, write_json

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


def load_plan(folder: Path) -> Plan:
    """Read a plan back.

    Raises:
        UserError: a file is missing or damaged.
    """
    record = read_json(folder / PLAN_NAME, "a folder that holds a plan needs it")
    try:
        tensors = load_file(folder / TENSORS_NAME)
        groups = tuple(
            _group(group, tuple(tensors[f"{_EXAMPLES}{number}"].tolist()))
            for number, group in enumerate(record["groups"])
        )
        linked = _below(_LINKED, tensors)
        return Plan(
            groups=groups,
            pools=tuple(Pool(**pool) for pool in record["pools"]),
            router=Router.load(folder) if (folder / RECIPE_NAME).exists() else None,
            archive=Archive.load(folder),
            local_clusters={int(client): labels for client, labels in _below(_LOCAL, tensors).items()},
            state=_below(_STATE, tensors),
            linked=Linked.of_tensors(linked) if linked else None,
            gathered=record["gathered"],
            until=record["until"],
            more_follows=record["more_follows"],
        )
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise UserError(f"{folder}: its plan is missing or damaged ({error!r})") from None


def _group(record: Mapping[str, Any], examples: tuple[int, ...]) -> Group:
    values = dict(record) | {"clusters": tuple(record["clusters"]), "examples": examples}
    values["pull"] = Pull(**record["pull"]) if record["pull"] is not None else None
    return Group(**values)


def _below(prefix: str, tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
