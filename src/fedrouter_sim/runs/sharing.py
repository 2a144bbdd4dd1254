"""What the last sharing among tasks went by, as a run folder keeps it, and how it is done again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from fedrouter_sim.adapters.aggregation.mean import WeightedMean
from fedrouter_sim.adapters.folders import load_adapter
from fedrouter_sim.adapters.state import Adapter, check_compatible, check_shapes
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.sharing import SharedFrom, TaskSharing
from fedrouter_sim.runs.layout import SHARED_NAME
from fedrouter_sim.runs.updates import StoredUpdate
from fedrouter_sim.storage import write_bytes
from fedrouter_sim.tensors import Tensors

_ROUND, _STARTS, _MEMORY = "round", "starts", "memory"


def save_shared(folder: Path, by: SharedFrom) -> None:
    """Write what the sharing of a round went by into a run folder."""
    found: dict[str, NDArray[np.generic]] = {_ROUND: np.array([by.round])}
    for kind, adapters in ((_STARTS, by.starts), (_MEMORY, by.memory)):
        for name, adapter in adapters.items():
            found |= {f"{kind}/{name}/{key}": np.ascontiguousarray(value.numpy()) for key, value in adapter.items()}
    write_bytes(folder / SHARED_NAME, save({name: found[name] for name in sorted(found)}))


def load_shared(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> SharedFrom | None:
    """Read what the last sharing of a run went by; None where nothing was shared.

    Args:
        folder: of the run.
        shapes: of the run's adapters.

    Raises:
        UserError: the file is damaged, or its adapters are not of these shapes.
    """
    path = folder / SHARED_NAME
    if not path.exists():
        return None
    stored = Tensors(path, "train the run anew")
    found: dict[str, dict[str, dict[str, torch.Tensor]]] = {_STARTS: {}, _MEMORY: {}}
    for name in stored:
        kind, _, rest = name.partition("/")
        one, _, key = rest.partition("/")
        if kind in found:
            found[kind].setdefault(one, {})[key] = torch.from_numpy(stored.floats(name, stored[name].shape))
        elif name != _ROUND:
            raise stored.refused(f"it has a tensor {name!r}")
    try:
        for start in found[_STARTS].values():
            check_shapes(shapes, start)
    except ValueError as error:
        raise stored.refused(str(error)) from None
    return SharedFrom(int(stored.whole(_ROUND, (1,))[0]), found[_STARTS], {**found[_MEMORY]})


def shared_again(
    by: SharedFrom,
    sharing: TaskSharing,
    updates: Sequence[StoredUpdate],
    name_of: Callable[[StoredUpdate], str],
    means: Mapping[str, Adapter],
) -> Mapping[str, Adapter]:
    """Share among task adapters that were averaged anew, as the last round of training did.

    A task begins where its updates began: at the mean of their starts, where these are of several tasks of training.
    If the tasks are those of training, what the rule kept before the round counts, and a task without updates is as it
    was before it.

    Args:
        by: what the round's sharing went by.
        sharing: by the settings of the run, and by the aggregation that made the means.
        updates: of that round, in client and group order; each is of a pool that `by` has the start of.
        name_of: the task that an update falls to.
        means: task -> what aggregation made of it, in the order of tasks; what it has, of one without updates.

    Raises:
        UserError: the rule fails, or an update cannot be read.
    """
    of_task: dict[str, list[StoredUpdate]] = {task: [] for task in means}
    for update in updates:
        of_task[name_of(update)].append(update)
    as_trained = all(update.pool == task for task, own in of_task.items() for update in own)
    if as_trained and means.keys() == by.starts.keys():
        sharing.rule.memory = by.memory
        means = {task: mean if of_task[task] else by.starts[task] for task, mean in means.items()}
    starts = {task: _start(by, of_task[task], mean) for task, mean in means.items()}
    sharing.begin(by.round)
    for update in updates:
        task, adapter = name_of(update), load_adapter(update.folder)
        try:
            check_compatible(starts[task], adapter)
        except ValueError as error:
            raise UserError(f"{update.folder}: is not of the run's adapters ({error}); train the run anew") from None
        sharing.add(update.client, task, update.examples, adapter, starts[task])
    return sharing.result(starts, means)


def _start(by: SharedFrom, updates: Sequence[StoredUpdate], mean: Adapter) -> Adapter:
    """Return where updates of one task began; where there are none, what the task has."""
    pools = {update.pool for update in updates}
    if not pools:
        return mean
    if len(pools) == 1:
        return by.starts[str(pools.pop())]
    found = WeightedMean()
    for update in updates:
        found.add(by.starts[str(update.pool)], update.examples)
    return found.result()
