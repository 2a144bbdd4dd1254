"""`aggregate FOLDER... --model M`: a run folder from the updates of clients that trained elsewhere."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from fedrouter_sim.adapters.aggregation.product import factors_by_module
from fedrouter_sim.adapters.state import Adapter, adapter_bytes, load_adapter, load_lora_scale, load_peft_config
from fedrouter_sim.backbone.loading import quiet
from fedrouter_sim.backbone.locating import describe_model, model_digest, resolve_model
from fedrouter_sim.backbone.lora import json_config, lora_config
from fedrouter_sim.clustering.kmeans import Floats, nearest
from fedrouter_sim.config import RunConfig, absolute_paths
from fedrouter_sim.errors import UserError
from fedrouter_sim.evaluation.truth import Agreement
from fedrouter_sim.federation.server import cluster_globally, split_by_client
from fedrouter_sim.methods import Deployment, Pool
from fedrouter_sim.operations.aggregate import Aggregated, aggregated, task_of
from fedrouter_sim.operations.train import TRAINED_ELSEWHERE, refuse_existing
from fedrouter_sim.routing.router import Router, task_name
from fedrouter_sim.runs.averaging import average_by_task
from fedrouter_sim.runs.run_folder import RunWriter, peak_memory_bytes
from fedrouter_sim.runs.update_folders import find_update_folders, gather, normalizer_for, read_update_folder
from fedrouter_sim.storage import new_folder

_PEFT_PREFIX = "base_model.model."


def aggregate_folders(
    folders: Sequence[Path | str],
    out: Path | str,
    model: str,
    tasks: int,
    overwrite: bool = False,
    seed: int = RunConfig.seed,
    normalize: str | None = None,
    average: str | None = None,
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
        average: 'factors' (mean of A, mean of B) or 'product' (mean of B A, truncated to the largest rank); None:
            'factors' where all folders say the same digest of their initial adapter.
        template: the prompt template that the clients trained with.
        max_tokens: most tokens of prompt and response together.

    Raises:
        UserError: a folder is not usable, does not fit the others or the backbone; the message names it.
    """
    out = Path(out)
    refuse_existing(out, overwrite)
    backbone = resolve_model(model)
    found = [read_update_folder(folder) for folder in find_update_folders([Path(folder) for folder in folders])]
    skeleton = _skeleton(backbone, model)
    dimension = skeleton.config.hidden_size
    for one in found:
        if (own := one.centroids.centroids.shape[1]) != dimension:
            raise UserError(
                f"{one.stored.folder}: its centroids have {own} dimensions and embeddings of --model {model} have "
                f"{dimension}; give the backbone that the clients trained on"
            )
    gathered, messages = gather(found)
    rounds = sorted({update.round for update in gathered})
    # Of a run only the last round's updates count, and here all do.
    updates = [replace(update, round=rounds[-1]) for update in gathered]
    normalizer = normalizer_for(found, normalize)
    if normalizer.kind == "standardize":  # in the other spaces the centroids are already
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
            lora_rank=scale.rank,
            lora_alpha=scale.factor * scale.rank,
            lora_dropout=float(load_peft_config(largest.folder).get("lora_dropout", 0.0)),
            lora_targets=_targets(example, skeleton, updates[0].folder, model),
            rounds=max(1, rounds[-1]),
            local_clusters=max(len(message.sizes) for message in messages),
            tasks=tasks,
            normalize=normalizer.kind,
            seed=seed,
        )
    )
    clustering = cluster_globally(messages, tasks, seed)
    router = Router(
        centroids=clustering.centroids,
        normalizer=normalizer,
        clients=tuple(messages),
        assignment=split_by_client(clustering.labels, messages),
        max_tokens=min(max_tokens, getattr(skeleton.config, "max_position_embeddings", max_tokens)),
        backbone_digest=model_digest(backbone),
    )
    averaged = average_by_task(updates, lambda u: task_of(u, router), len(router.centroids), average, scale)
    adapters, inherited = _with_heirs(averaged.adapters, router.centroids)
    pools = tuple(Pool(task_name(task), tokens) for task, tokens in enumerate(router.answer_tokens()))
    summary = _summary(config, len(updates) * adapter_bytes(example) + sum(message.nbytes for message in messages))
    with new_folder(out, overwrite) as folder:
        writer = RunWriter(folder, config, json_config(lora_config(config, skeleton), config.model))
        writer.write_model(adapters, Deployment(pools, router), max(pool.answer_tokens for pool in pools))
        for update in updates:
            writer.copy_update(update, router)
        manifest = {
            "command": "aggregate",
            "of": [str(Path(path).resolve()) for path in folders],
            "round": rounds[-1],
            "clustering_seed": seed,
            "seed": seed,
            "data_sha256": None,
            "backbone": describe_model(model, backbone),
            "backbone_sha256": router.backbone_digest,
            "method_sha256": None,
        }
        writer.write_summary(summary, manifest)
    stale = f"the updates are of rounds {rounds[0]} to {rounds[-1]}; all of them were averaged"
    return aggregated(out, rounds[-1], averaged, inherited, summary, *([stale] if len(rounds) > 1 else []))


def _skeleton(folder: Path, name: str) -> Any:
    """Return the backbone's modules and shapes without its weights."""
    with quiet(), torch.device("meta"):
        try:
            config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            return AutoModelForCausalLM.from_config(config)
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"--model {name}: not loadable ({str(error).splitlines()[0]})") from None


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


def _with_heirs(found: Mapping[int, Adapter], centroids: Floats) -> tuple[dict[str, Adapter], dict[str, str]]:
    """Give a task that no update fell to the adapter of the nearest one that has one; return who inherited as well."""
    received = sorted(found)
    heirs = nearest(centroids, centroids[received]).index
    adapters: dict[str, Adapter] = {}
    inherited: dict[str, str] = {}
    for task in range(len(centroids)):
        source = task if task in found else received[int(heirs[task])]
        adapters[task_name(task)] = found[source]
        if source != task:
            inherited[task_name(task)] = task_name(source)
    return adapters, inherited


def _summary(config: RunConfig, bytes_up: int) -> dict[str, Any]:
    """Return what is known under the fixed keys of a run's summary: hardly more than the settings."""
    unknown = "rouge1 rouge1_per_task rouge1_base rouge1_base_per_task rouge1_per_cell routing_accuracy".split()
    return {
        "method": config.method,
        "split": config.split,
        "clients": config.clients,
        "seed": config.seed,
        **dict.fromkeys(unknown),
        **asdict(Agreement()),
        "bytes_up": bytes_up,
        "bytes_down": 0,
        "optimizer_steps": 0,
        "tokens_trained": 0,
        "truncated": {"train": 0, "test": 0},
        "seconds": {},
        "peak_memory_bytes": peak_memory_bytes(),
    }
