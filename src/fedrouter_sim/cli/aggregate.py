"""`fedrouter-sim aggregate`."""

from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import note, print_result
from fedrouter_sim.config import RunConfig
from fedrouter_sim.errors import UserError


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
    tasks: Annotated[int | None, typer.Option(help="Task clusters T; by default the run's.")] = None,
    seed: Annotated[
        int | None, typer.Option(help=f"Seed of the clustering; by default the run's, with --model {RunConfig.seed}.")
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(metavar="none|l2|standardize", help="Space to cluster in, where the stored centroids allow it."),
    ] = None,
    average: Annotated[
        str | None,
        typer.Option(
            metavar="factors|product",
            help="Mean of A and of B, or of the products B A with truncated SVD; by default by the digests of the "
            "initial adapters: factors where they are all the same.",
        ),
    ] = None,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")] = False,
) -> None:
    """Cluster and average again, without training: a run's stored updates, or those of clients that trained elsewhere.

    Example: fedrouter-sim aggregate runs/first --tasks 3 --out runs/three
    """
    for name, value, least in (("tasks", tasks, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: must be at least {least}")
    for name, chosen, known in (
        ("normalize", normalize, ("none", "l2", "standardize")),
        ("average", average, ("factors", "product")),
    ):
        if chosen is not None and chosen not in known:
            raise UserError(f"--{name} {chosen}: choose one of {', '.join(known)}")
    if model is None:
        if len(folders) > 1:
            raise UserError(
                f"{folders[1]}: only one run can be aggregated again; for updates of clients that trained elsewhere "
                "name their backbone with --model"
            )
        for name, given in (("template", template), ("max-tokens", max_tokens)):
            if given is not None:
                raise UserError(f"--{name} {given}: goes with --model only; a run has its own")
    elif tasks is None:
        raise UserError("--model: say how many task adapters to make of the clients' updates, with --tasks")

    from fedrouter_sim import Run, aggregate, aggregate_folders
    from fedrouter_sim.report.tables import aggregated_table, number

    if model is None or tasks is None:
        done = aggregate(Run(folders[0]), out, overwrite, tasks, seed, normalize, average)
    else:
        done = aggregate_folders(
            folders,
            out,
            model,
            tasks,
            overwrite,
            seed=RunConfig.seed if seed is None else seed,
            normalize=normalize,
            average=average,
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
        "average": done.average,
        "truncation_errors": done.truncation_errors,
        "ari_global": done.summary["ari_global"],
    }
    agreement = f"ARI of the tasks with the true ones: {number(done.summary['ari_global'])}"
    print_result(record, [aggregated_table(done), agreement, f"The run is in {done.folder}"], as_json)
