"""How stored updates become task adapters: averaged factor by factor, or by their products B A."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fedrouter_sim.adapters.aggregation.product import ProductMean
from fedrouter_sim.adapters.state import Adapter, LoraScale, WeightedMean, load_adapter, load_lora_scale, scaled
from fedrouter_sim.errors import UserError
from fedrouter_sim.runs.run_folder import StoredUpdate

FACTORS, PRODUCT = "factors", "product"
AVERAGES = (FACTORS, PRODUCT)
"""The mean of A and of B (FedAvg), or the mean of (alpha / r) B A brought back to the rank by truncated SVD."""


@dataclass(frozen=True)
class Averaged:
    """The adapters of the tasks that received updates."""

    adapters: dict[int, Adapter]
    updates_per_task: list[int]
    average: str  # one of AVERAGES
    reason: str  # why that one, for the user
    errors: dict[int, float]  # relative error of the truncation, where products were averaged


def average_by_task(
    updates: Sequence[StoredUpdate],
    task_of: Callable[[StoredUpdate], int],
    tasks: int,
    average: str | None,
    scale: LoraScale,
) -> Averaged:
    """Average updates per task, weighted by example counts, one adapter in memory at a time.

    Args:
        updates: in client and group order.
        task_of: the task that an update falls to.
        tasks: how many tasks there are.
        average: one of AVERAGES; None: factor by factor if all updates say the same digest of their initial adapter
            and have one rank and scale, else by products.
        scale: rank and scale of the result.

    Raises:
        UserError: an adapter is not readable, not a plain LoRA one, not finite, or does not fit the others; or their
            ranks or scales differ and `average` is 'factors'.
    """
    scales = [load_lora_scale(update.folder) for update in updates]
    odd = next((u for u, own in zip(updates, scales, strict=True) if own != scale), None)
    beginnings = {update.initial_sha256 for update in updates}
    if average == FACTORS and odd is not None:
        raise UserError(
            f"--average factors: {odd.folder} has another rank or alpha than the rest, so A and B of the two mean "
            "different things; take --average product"
        )
    if average is None:
        if odd is not None:
            average, reason = PRODUCT, f"ranks or scales differ ({odd.folder})"
        elif None in beginnings:
            average, reason = PRODUCT, "not every update says which initial adapter it began with (initial_sha256)"
        elif len(beginnings) > 1:
            average, reason = PRODUCT, f"the updates began with {len(beginnings)} different initial adapters"
        else:
            average, reason = FACTORS, "all updates began with the same initial adapter"
    else:
        reason = "as --average says"
    means: dict[int, WeightedMean | ProductMean] = {}
    counts = [0] * tasks
    for update, own in zip(updates, scales, strict=True):
        task = task_of(update)
        adapter = load_adapter(update.folder)
        if average == PRODUCT:
            mean = means.setdefault(task, ProductMean(scale.rank))
            adapter = scaled(adapter, own.factor / scale.factor)
        else:
            mean = means.setdefault(task, WeightedMean())
        try:
            mean.add(adapter, update.examples)
        except ValueError as error:
            raise UserError(f"{update.folder}: cannot be averaged with the others ({error})") from None
        counts[task] += 1
    adapters: dict[int, Adapter] = {}
    errors: dict[int, float] = {}
    for task, mean in sorted(means.items()):
        if isinstance(mean, ProductMean):
            truncated = mean.truncated()
            adapters[task], errors[task] = truncated.adapter, truncated.error
        else:
            adapters[task] = mean.result()
    return Averaged(adapters, counts, average, reason, errors)
