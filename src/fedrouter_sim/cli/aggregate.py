"""`fedrouter-sim aggregate`."""

from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.adapters.aggregation import AGGREGATIONS, MEAN, PRODUCT
from fedrouter_sim.cli.output import note, print_result
from fedrouter_sim.cli.settings import OwnOptions, TrustCode, setting_of_flag
from fedrouter_sim.clustering.affinities import AFFINITIES
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import check_limits
from fedrouter_sim.config.words import NORMALIZATIONS
from fedrouter_sim.errors import UserError
from fedrouter_sim.folders import refuse_existing
from fedrouter_sim.runs.layout import RUN_MARKS, require_run

_OLD_NAMES = {"factors": MEAN, "product": PRODUCT}  # of --average


def aggregate_command(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="A run with a router; or, with --model, folders of updates of clients that trained elsewhere, or that "
            "hold some at any depth.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new run.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run at --out.")] = False,
    tasks: Annotated[
        str | None, typer.Option(metavar="INTEGER|auto", help="Task clusters T, or auto; by default the run's.")
    ] = None,
    affinity: Annotated[
        str | None,
        typer.Option(
            metavar="|".join((*AFFINITIES.names, "FILE.py:CLASS")),
            help="What local clusters are linked by; by default the run's.",
        ),
    ] = None,
    cut: Annotated[
        float | None,
        typer.Option(help="Affinity above which they are one task, for --tasks auto; by default the run's."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of the clustering; by default the run's, with --model {RunConfig.seed}.")
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(NORMALIZATIONS), help="Space to cluster in, where the stored centroids allow it."
        ),
    ] = None,
    aggregation: Annotated[
        str | None,
        typer.Option(
            metavar="|".join((*AGGREGATIONS.names, "FILE.py:CLASS")),
            help="Mean of A and of B, or of the products B A with truncated SVD; by default the run's own rule, and of "
            "one with mean by the digests of the initial adapters: mean where they are all the same.",
        ),
    ] = None,
    option: OwnOptions = None,
    average: Annotated[str | None, typer.Option(hidden=True)] = None,
    model: Annotated[
        str | None, typer.Option(help="Backbone of clients that trained elsewhere: embedded, a folder, or a Hub id.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help=f"With --model: their prompt template. [dim]\\[default: {RunConfig.template}][/]")
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            help="With --model: most tokens of prompt and response together. "
            f"[dim]\\[default: {RunConfig.max_tokens}][/]"
        ),
    ] = None,
    trust_code: TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")] = False,
) -> None:
    """Cluster and average again, without training: a run's stored updates, or those of clients that trained elsewhere.

    Example: fedrouter-sim aggregate runs/first --tasks 3 --out runs/three
    """
    if seed is not None:
        check_limits(f"--seed {seed}", RunConfig.__dataclass_fields__["seed"], seed)
    wanted = None if tasks is None else setting_of_flag("tasks", tasks)
    if affinity is not None and ":" not in affinity and affinity not in AFFINITIES.names:
        AFFINITIES.class_of(affinity)  # which refuses it
    if normalize is not None and normalize not in NORMALIZATIONS:
        raise UserError(f"--normalize {normalize}: choose one of {', '.join(NORMALIZATIONS)}")
    if average is not None:  # what the flag was called before the rounds had it, too
        if average not in _OLD_NAMES:
            raise UserError(f"--average {average}: is now --aggregation {' or '.join(AGGREGATIONS.names)}")
        aggregation = _OLD_NAMES[average]
    if aggregation is not None and ":" not in aggregation and aggregation not in AGGREGATIONS.names:
        AGGREGATIONS.class_of(aggregation)  # which refuses it
    if model is None:
        if len(folders) > 1:
            raise UserError(
                f"{folders[1]}: only one run can be aggregated again; for updates of clients that trained elsewhere "
                "name their backbone with --model"
            )
        for name, given in (("template", template), ("max-tokens", max_tokens)):
            if given is not None:
                raise UserError(f"--{name} {given}: goes with --model only; a run has its own")
    elif not isinstance(wanted, int) or affinity is not None or cut is not None:
        raise UserError(
            "--model: say how many task adapters to make of the clients' updates, with a number of --tasks; they come "
            "without what --affinity and --cut go by"
        )

    refuse_existing(out, overwrite, RUN_MARKS, "a run folder")
    if model is None:
        require_run(folders[0])
    elif missing := next((folder for folder in folders if not folder.is_dir()), None):
        raise UserError(f"{missing}: no such folder; give folders with updates")

    from fedrouter_sim import Run, aggregate, aggregate_folders
    from fedrouter_sim.report.tables import aggregated_table, number

    if model is None:
        done = aggregate(
            Run(folders[0], trust_code),
            out,
            overwrite,
            wanted,
            seed,
            normalize,
            aggregation,
            option or (),
            affinity,
            cut,
        )
    else:
        done = aggregate_folders(
            folders,
            out,
            model,
            int(wanted or 0),
            overwrite,
            seed=RunConfig.seed if seed is None else seed,
            normalize=normalize,
            aggregation=aggregation,
            option=option or (),
            template=RunConfig.template if template is None else template,
            max_tokens=RunConfig.max_tokens if max_tokens is None else max_tokens,
        )
    for text in done.notes:
        note(text, quiet)
    record = {
        "run": str(done.folder),
        "round": done.round,
        "updates_per_task": done.updates_per_task,
        "inherited": done.inherited,
        "aggregation": done.aggregation,
        "truncation_errors": done.truncation_errors,
        "ari_global": done.summary.ari_global,
    }
    agreement = f"ARI of the tasks with the true ones: {number(done.summary.ari_global)}"
    print_result(record, [aggregated_table(done), agreement, f"The run is in {done.folder}"], as_json)
