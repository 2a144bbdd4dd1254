"""How stored updates become task adapters: by an aggregation rule, one adapter in memory at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fedrouter_sim.adapters.aggregation import MEAN, PRODUCT, aggregated, find_aggregation
from fedrouter_sim.adapters.aggregation.rule import Aggregation
from fedrouter_sim.adapters.folders import LoraScale, load_adapter, load_lora_scale
from fedrouter_sim.adapters.state import Adapter, scaled
from fedrouter_sim.arrays import Floats
from fedrouter_sim.clustering.kmeans import nearest
from fedrouter_sim.errors import UserError, first_line
from fedrouter_sim.routing import task_name
from fedrouter_sim.runs.updates import StoredUpdate
from fedrouter_sim.tables import Options


@dataclass(frozen=True)
class Averaged:
    """The adapters of the tasks that received updates."""

    adapters: dict[int, Adapter]
    updates_per_task: list[int]
    aggregation: str  # the rule
    reason: str  # why that one, for the user
    errors: dict[int, float]  # relative error of the truncation, where the rule truncates


def average_by_task(
    updates: Sequence[StoredUpdate],
    task_of: Callable[[StoredUpdate], int],
    tasks: int,
    aggregation: str | None,
    scale: LoraScale,
    options: Options | None = None,
) -> Averaged:
    """Aggregate updates per task, weighted by example counts.

    Args:
        updates: in client and group order.
        task_of: the task that an update falls to.
        tasks: how many tasks there are.
        aggregation: the rule; None: the mean of the factors if all updates say the same digest of their initial
            adapter and have one rank and scale, else the mean of the products.
        scale: rank and scale of the result.
        options: `--option` values by name.

    Raises:
        UserError: an adapter is not readable, not a plain LoRA one, not finite, or does not fit the others; or their
            ranks or scales differ and the rule is not 'product'.
    """
    scales = [load_lora_scale(update.folder) for update in updates]
    rule, reason = _chosen(aggregation, updates, scales)
    new_aggregation = find_aggregation(rule, scale.rank, options)
    running: dict[int, Aggregation] = {}
    counts = [0] * tasks
    for update, own in zip(updates, scales, strict=True):
        task = task_of(update)
        adapter = load_adapter(update.folder)
        if rule == PRODUCT:
            adapter = scaled(adapter, own.factor / scale.factor)
        if task not in running:
            running[task] = new_aggregation()
        try:
            running[task].add(adapter, update.examples)
        except ValueError as error:
            raise UserError(f"{update.folder}: cannot be averaged with the others ({error})") from None
        except UserError:
            raise
        except Exception as error:  # the rule may be the user's own
            said = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"--aggregation {rule}: could not add {update.folder} ({said})") from error
        counts[task] += 1
    adapters = {task: aggregated(of_task, adapter, False, task_name(task)) for task, of_task in sorted(running.items())}
    errors = {task: of_task.lost for task, of_task in sorted(running.items()) if of_task.lost is not None}
    return Averaged(adapters, counts, rule, reason, errors)


def _chosen(wanted: str | None, updates: Sequence[StoredUpdate], scales: Sequence[LoraScale]) -> tuple[str, str]:
    """Return the rule and why it is that one."""
    odd = next((u for u, own in zip(updates, scales, strict=True) if own != scales[0]), None)
    if wanted not in (None, PRODUCT) and odd is not None:
        raise UserError(
            f"--aggregation {wanted}: {odd.folder} has another rank or alpha than the rest, so A and B of the two mean "
            f"different things; take --aggregation {PRODUCT}"
        )
    if wanted is not None:
        return wanted, "as --aggregation says"
    beginnings = {update.initial_sha256 for update in updates}
    if odd is not None:
        return PRODUCT, f"ranks or scales differ ({odd.folder})"
    if None in beginnings:
        return PRODUCT, "not every update says which initial adapter it began with (initial_sha256)"
    if len(beginnings) > 1:
        return PRODUCT, f"the updates began with {len(beginnings)} different initial adapters"
    return MEAN, "all updates began with the same initial adapter"


def with_heirs(
    found: Mapping[int, Adapter], centroids: Floats, sources: Sequence[int], of_sources: Floats,
    adapter_of: Callable[[int], Adapter],
) -> tuple[dict[str, Adapter], dict[str, str]]:  # fmt: skip
    """Give every task an adapter: its own, or that of the nearest source if it received no update.

    Args:
        found: task -> its adapter.
        centroids: of the tasks, (T, d).
        sources: the tasks that a task without updates may inherit from.
        of_sources: their centroids, in the same space, (sources, d).
        adapter_of: gives the adapter of a source.

    Returns:
        The adapters by name, and who inherited from which source.
    """
    parents = nearest(centroids, of_sources).index
    adapters: dict[str, Adapter] = {}
    inherited: dict[str, str] = {}
    for task in range(len(centroids)):
        name = task_name(task)
        if task in found:
            adapters[name] = found[task]
        else:
            source = sources[int(parents[task])]
            adapters[name], inherited[name] = adapter_of(source), task_name(source)
    return adapters, inherited
