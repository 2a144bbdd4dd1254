"""`export`: a run's adapters as folders for other tools, as PEFT adapters or merged into plain models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fedrouter_sim.adapters.folders import plain_peft_config, save_adapter
from fedrouter_sim.backbone.loading import load_model, quiet, skeleton_of
from fedrouter_sim.backbone.locating import loadable_name, resolve_model
from fedrouter_sim.backbone.lora import lora_config, slot_of, with_lora
from fedrouter_sim.bundled import BUNDLED_MODEL, FETCHED
from fedrouter_sim.errors import UserError
from fedrouter_sim.federation.observers import SILENT, Display
from fedrouter_sim.federation.plan import Pool
from fedrouter_sim.folders import new_folder, refuse_existing
from fedrouter_sim.runs.card import answers_by_mixtures, card_of
from fedrouter_sim.runs.checking import check_fits
from fedrouter_sim.runs.layout import EXPORT_NAME
from fedrouter_sim.runs.reader import Run, open_run
from fedrouter_sim.runs.unfinished import refuse_interrupted
from fedrouter_sim.showing import shown
from fedrouter_sim.storage import write_json, write_text

FORMAT = 1
RECORD_NAME = EXPORT_NAME
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Exported:
    """What `export` reports."""

    folder: Path
    folders: dict[str, Path]  # pool -> its folder


def export(
    run: Run | Path | str,
    out: Path | str,
    merged: bool = False,
    pools: Sequence[str] = (),
    dtype: str = "float32",
    overwrite: bool = False,
    display: Display = SILENT,
) -> Exported:
    """Write a folder per pool (for fedrouter: per task) under `out`, each with a README.md that says what it is.

    Args:
        run: a run, or its folder.
        out: where the folders go.
        merged: merge each adapter into the backbone, in float32, and write a plain `transformers` model with its
            tokenizer; else write the adapters as PEFT folders.
        pools: names of the pools wanted; none: all.
        dtype: of the weights of merged models: 'float32', 'bfloat16' or 'float16'.
        overwrite: replace an earlier export at `out`.
        display: shows progress.

    Raises:
        UserError: the run has no adapter, or none of such a name; its backbone has changed; or `out` exists.
    """
    run = open_run(run)
    out = Path(out)
    refuse_existing(out, overwrite, (RECORD_NAME,), "an earlier export")
    refuse_interrupted(out)
    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype}: choose one of {', '.join(DTYPES)}")
    if dtype != "float32" and not merged:
        raise UserError(f"--dtype {dtype}: is the type of merged weights; give --merged too, or drop it")
    chosen, mixed = _chosen(run, pools), answers_by_mixtures(run)
    # A model that the user names here is checked and written down, whatever is made of it.
    named = {"base_model_name_or_path": _loaded_by(run)} if run.has_moved_model else {}
    backbone = run.model_folder() if merged else None
    shapes = None if merged else _slot_shapes(run)
    display.started("merging" if merged else "copying", len(chosen))
    with new_folder(out, overwrite) as folder:
        for pool in chosen:
            adapter, place = run.folder / "adapters" / pool.name, folder / pool.name
            place.mkdir(parents=True)
            if backbone is None:
                # Read and written anew: nothing that is damaged, or that we do not know, is passed on.
                read = run.adapter(pool.name)
                if shapes is not None:
                    check_fits(shapes, read, adapter)
                save_adapter(place, read, plain_peft_config(adapter) | named)
            else:
                _write_merged(run, backbone, pool.name, place, DTYPES[dtype])
            write_text(place / "README.md", card_of(run, pool, merged, mixed))
            display.advanced(1)
        write_json(folder / RECORD_NAME, _record(run, chosen, dtype if merged else None))
    return Exported(out, {pool.name: out / pool.name for pool in chosen})


def _chosen(run: Run, names: Sequence[str]) -> list[Pool]:
    known = {pool.name: pool for pool in run.pools}
    if not known:
        raise UserError(f"{run.folder}: method {run.config.method} trains no adapter, so there is nothing to export")
    for name in names:
        if name not in known:
            raise UserError(f"--task {name}: {run.folder} has no such adapter; it has {', '.join(known)}")
    return [pool for name, pool in known.items() if not names or name in names]


def _loaded_by(run: Run) -> str:
    """Return what other tools load the run's backbone by."""
    return loadable_name(run.config.model, run.model_folder())


def _slot_shapes(run: Run) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of an adapter of the run's backbone; None where that is not on this machine, or a model of the
    Hub, which might have to be downloaded."""
    name = run.config.model
    if name not in (BUNDLED_MODEL, *FETCHED) and not Path(name).exists():
        return None
    try:
        folder = resolve_model(name)
    except UserError:
        return None
    with quiet(), torch.device("meta"):
        skeleton = skeleton_of(folder, name)
        slot = slot_of(with_lora(skeleton, lora_config(run.config, skeleton), name))
    return {key: tuple(value.shape) for key, value in slot.items()}


def _write_merged(run: Run, backbone: Path, pool: str, place: Path, dtype: torch.dtype) -> None:
    """Write the backbone with one adapter merged into its weights. The model is loaded anew: merging changes it.

    Raises:
        UserError: the adapter is not usable, or not of this backbone; or a merged weight is not finite.
    """
    tokenizer, model = load_model(backbone, run.config.model)
    adapter, where = run.adapter(pool), run.folder / "adapters" / pool
    with quiet():
        peft = with_lora(model, lora_config(run.config, model), run.config.model)
        slot = slot_of(peft)
        check_fits({key: tuple(value.shape) for key, value in slot.items()}, adapter, where)
        with torch.no_grad():
            for key, parameter in slot.items():
                parameter.copy_(adapter[key])
        plain: Any = peft.merge_and_unload().to(dtype)
        for key, value in plain.state_dict().items():
            if not torch.isfinite(value).all():
                raise UserError(f"{where}: merged, {shown(key)} is not finite in {str(dtype).removeprefix('torch.')}")
        plain.save_pretrained(place)
        tokenizer.save_pretrained(place)
    for path in place.glob("*.safetensors"):  # which safetensors lets only their owner read
        path.chmod((place / "config.json").stat().st_mode)


def _record(run: Run, pools: Sequence[Pool], dtype: str | None) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "run": run.folder.resolve().name,
        "method": run.summary.method,
        **({} if run.config.dp_epsilon else {"seed": run.config.seed}),  # with it the noise is taken off again
        "model": run.config.model,
        "backbone_sha256": run.manifest.get("backbone_sha256"),
        "template": run.config.template,
        "merged": dtype is not None,
        "dtype": dtype,
        "pools": {pool.name: {"answer_tokens": pool.answer_tokens} for pool in pools},
    }
