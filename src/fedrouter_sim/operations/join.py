"""`aggregate FOLDER... --model M`: a run folder from the updates of clients that trained elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from fedrouter_sim.adapters.aggregation import AGGREGATIONS, MEAN
from fedrouter_sim.adapters.aggregation.product import factors_by_module
from fedrouter_sim.adapters.folders import LoraScale, load_adapter, load_lora_scale, load_peft_config
from fedrouter_sim.adapters.state import Adapter, adapter_bytes
from fedrouter_sim.backbone.kind import context_of, hidden_width
from fedrouter_sim.backbone.loading import skeleton_of
from fedrouter_sim.backbone.locating import describe_model, loadable_name, model_digest, resolve_model
from fedrouter_sim.backbone.lora import json_config, lora_config
from fedrouter_sim.clustering.across_clients import cluster_globally, split_by_client
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.paths import absolute_paths
from fedrouter_sim.config.words import NONE, STANDARDIZE
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.sources import TRAINED_ELSEWHERE
from fedrouter_sim.federation.plan import Deployment, Pool
from fedrouter_sim.folders import new_folder, refuse_existing
from fedrouter_sim.machine import peak_memory_bytes
from fedrouter_sim.routing import task_name
from fedrouter_sim.routing.archive import Archive
from fedrouter_sim.routing.making import router_of
from fedrouter_sim.runs.aggregated import Aggregated, report, task_of
from fedrouter_sim.runs.averaging import average_by_task, with_heirs
from fedrouter_sim.runs.entries import own_digests
from fedrouter_sim.runs.layout import RUN_MARKS
from fedrouter_sim.runs.summary import Summary
from fedrouter_sim.runs.unfinished import refuse_interrupted
from fedrouter_sim.runs.update_folders import (
    ForeignUpdate,
    find_update_folders,
    gather,
    normalizer_for,
    read_update_folder,
)
from fedrouter_sim.runs.writer import RunWriter
from fedrouter_sim.tables import option_texts
from fedrouter_sim.typed import Within, taken

_PEFT_PREFIX = "base_model.model."


def aggregate_folders(
    folders: Sequence[Path | str],
    out: Path | str,
    model: str,
    tasks: int,
    overwrite: bool = False,
    seed: int = RunConfig.seed,
    normalize: str | None = None,
    aggregation: str | None = None,
    option: Sequence[str] = (),
    template: str = RunConfig.template,
    max_tokens: int = RunConfig.max_tokens,
) -> Aggregated:
    """Cluster the centroids of clients that trained elsewhere, average their adapters by task, and leave a run folder.

    The form of an update folder stands in `update_folders`. The run can be routed by, exported and, with data given,
    evaluated; the backbone's weights are only digested here, not loaded.

    Args:
        folders: update folders, or folders that hold some at any depth.
        out: where the run folder goes.
        model: the backbone that the clients trained on: embedded, a folder, or a Hub id.
        tasks: task clusters.
        overwrite: replace an existing `out`.
        seed: seed of the clustering.
        normalize: 'none', 'l2' or 'standardize'; None: 'standardize' if every folder has the sums for it, else the
            space that the folders' centroids are in.
        aggregation: the rule, 'mean' (of A and of B), 'product' (mean of B A, truncated to the largest rank) or
            FILE.py:CLASS; None: 'mean' where all folders say the same digest of their initial adapter, else 'product'.
        option: options of the rule, as 'name=value'.
        template: the prompt template that the clients trained with.
        max_tokens: most tokens of prompt and response together.

    Raises:
        UserError: a folder is not usable, does not fit the others or the backbone; the message names it.
    """
    out = Path(out)
    refuse_existing(out, overwrite, RUN_MARKS, "a run folder")
    refuse_interrupted(out)
    options = AGGREGATIONS.options(aggregation or MEAN, (), option)
    backbone = resolve_model(model)
    places = find_update_folders([Path(folder) for folder in folders])
    if lost := next((place for place in places if out.resolve() in place.resolve().parents), None):
        raise UserError(f"--out {out}: holds {lost}, which is averaged, and would be lost; choose another name")
    found = [read_update_folder(place) for place in places]
    skeleton = skeleton_of(backbone, model)
    _check_dimension(found, hidden_width(skeleton), model)
    gathered, messages = gather(found)
    rounds = sorted({update.round for update in gathered})
    # Of a run only the last round's updates count, and here all do.
    updates = [replace(update, round=rounds[-1]) for update in gathered]
    normalizer = normalizer_for(found, normalize)
    if normalizer.kind == STANDARDIZE:  # in the other spaces the centroids are already
        messages = [replace(message, centroids=normalizer(message.centroids)) for message in messages]
    largest = max(updates, key=lambda update: load_lora_scale(update.folder).rank)
    scale = load_lora_scale(largest.folder)
    example = load_adapter(updates[0].folder)
    config = absolute_paths(
        RunConfig(
            data=TRAINED_ELSEWHERE,
            split="natural",
            clients=len(messages),
            model=model,
            template=template,
            max_tokens=max_tokens,
            **_lora_settings(scale, largest.folder),
            lora_targets=_targets(example, skeleton, updates[0].folder, model),
            rounds=max(1, rounds[-1]),
            local_clusters=max(len(message.sizes) for message in messages),
            tasks=tasks,
            normalize=normalizer.kind,
            sharing=NONE,  # nobody knows what foreign updates began with
            seed=seed,
        )
    )
    clustering = cluster_globally(messages, tasks, seed)
    archive = Archive(tuple(messages), split_by_client(clustering.labels, messages))
    limit = min(max_tokens, context_of(skeleton.config) or max_tokens)
    router = router_of(archive, normalizer, limit, model_digest(backbone), config.router)
    count = len(router.centroids)
    averaged = average_by_task(updates, lambda u: task_of(u, archive), count, aggregation, scale, options)
    config = absolute_paths(replace(config, aggregation=averaged.aggregation, option=option_texts(options)))
    received = sorted(averaged.adapters)
    adapters, inherited = with_heirs(
        averaged.adapters, router.centroids, received, router.centroids[received], averaged.adapters.__getitem__
    )
    pools = tuple(Pool(task_name(task), tokens) for task, tokens in enumerate(archive.answer_tokens(count)))
    summary = Summary(
        config.method,
        config.split,
        config.clients,
        config.seed,
        tasks_found=count,
        bytes_up=len(updates) * adapter_bytes(example) + sum(message.nbytes for message in messages),
        truncated={"train": 0, "test": 0},
        peak_memory_bytes=peak_memory_bytes(),
    )
    with new_folder(out, overwrite) as folder:
        writer = RunWriter(folder, config, json_config(lora_config(config, skeleton), loadable_name(model, backbone)))
        longest = max(pool.answer_tokens for pool in pools)
        writer.write_model(adapters, Deployment(pools, router, archive), longest)
        for update in updates:
            writer.copy_update(update, router, archive)
        manifest = {
            "command": "aggregate",
            "of": [str(Path(path).resolve()) for path in folders],
            "round": rounds[-1],
            "clustering_seed": seed,
            "aggregation": averaged.aggregation,
            "seed": seed,
            "data_sha256": None,
            "backbone": describe_model(model, backbone),
            "backbone_sha256": router.backbone_digest,
            "own_sha256": own_digests(config),
        }
        writer.write_summary(summary, manifest)
    stale = f"the updates are of rounds {rounds[0]} to {rounds[-1]}; all of them were averaged"
    return report(out, rounds[-1], averaged, inherited, summary, *([stale] if len(rounds) > 1 else []))


def _check_dimension(found: Sequence[ForeignUpdate], dimension: int, model: str) -> None:
    """Refuse centroids of another backbone's embeddings."""
    for one in found:
        if (own := one.centroids.centroids.shape[1]) != dimension:
            raise UserError(
                f"{one.stored.folder}: its centroids have {own} dimensions and embeddings of --model {model} have "
                f"{dimension}; give the backbone that the clients trained on"
            )


def _lora_settings(scale: LoraScale, folder: Path) -> dict[str, Any]:
    """Return the settings that describe adapters of a rank and scale.

    Raises:
        UserError: the folder's configuration has a dropout that is none.
    """
    try:
        dropout = taken(load_peft_config(folder), "lora_dropout", Annotated[float, Within(0, 0.99)], 0.0)
    except ValueError as error:
        raise UserError(f"{folder}: its adapter configuration is damaged ({error}); correct it") from None
    return {
        "lora_rank": scale.rank,
        "lora_alpha": scale.factor * scale.rank,
        "lora_dropout": float(dropout),
    }


def _targets(adapter: Adapter, skeleton: Any, folder: Path, model: str) -> tuple[str, ...]:
    """Return the names of the modules that an adapter adapts, as short as they may be.

    Raises:
        UserError: the backbone has no such module, or one of another shape.
    """
    modules = dict(skeleton.named_modules())
    try:
        factors = factors_by_module(adapter)
    except ValueError as error:
        raise UserError(f"{folder}: not a usable adapter ({error})") from None
    names = {key.removeprefix(_PEFT_PREFIX): (b.shape[0], a.shape[1]) for key, (b, a) in factors.items()}
    for name, (outputs, inputs) in names.items():
        module = modules.get(name)
        if _linear_shape(module) != (outputs, inputs):
            raise UserError(
                f"{folder}: its adapter is for a module {name} of {inputs} inputs and {outputs} outputs, which "
                f"--model {model} has not; give the backbone that the clients trained on"
            )
    short = sorted({name.rpartition(".")[2] for name in names})
    adapted = {name for name in modules if name.rpartition(".")[2] in short}
    return tuple(short if adapted == names.keys() else sorted(names))


def _linear_shape(module: Any) -> tuple[int, ...]:
    """Return the outputs and inputs of a linear module; () of any other."""
    if isinstance(module, Conv1D):  # GPT-2's, whose weight is kept transposed
        return tuple(module.weight.shape)[::-1]
    return tuple(module.weight.shape) if isinstance(module, nn.Linear) else ()
