"""`fedrouter-sim train`."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from fedrouter_sim.backbone.locating import resolve_model
from fedrouter_sim.cli.output import display_for, note, print_result
from fedrouter_sim.cli.settings import all_named, refuse_code, resolve_settings, takes_settings
from fedrouter_sim.config import RunConfig
from fedrouter_sim.config.declaring import flag
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.sources import NOT_ON_DISK, find_source
from fedrouter_sim.federation.engine import Engine
from fedrouter_sim.folders import refuse_existing, refuse_taken
from fedrouter_sim.runs.layout import REPORT_NAME, RUN_MARKS
from fedrouter_sim.runs.unfinished import EVERY_CLIENT, EVERY_ROUND, Found, find_run, tidy

MOST_SEEDS = 1_000


@takes_settings
def train_command(
    out: Annotated[Path | None, typer.Option(help="Folder of the run; by default a new one under runs/.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run at --out.")] = False,
    resume: Annotated[
        Path | None,
        typer.Option(help="Go on with the interrupted run of this --out; all else comes from its folder."),
    ] = None,
    checkpoint_every: Annotated[
        str,
        typer.Option(
            metavar=f"{EVERY_ROUND}|{EVERY_CLIENT}",
            help="What is kept for --resume: the state after each round, or what each client sent as well.",
        ),
    ] = EVERY_ROUND,
    workers: Annotated[
        int | None,
        typer.Option(help="Train in so many processes of Ray, by the same bytes; by default in this one alone."),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The Ray cluster of --workers; by default this machine."),
    ] = None,
    config_file: Annotated[
        Path | None, typer.Option("--config", help="TOML file of settings; flags win over it.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Shipped settings under the file's: 'paper', 'cpu-small'.")] = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Several seeds in one go, as 111,222,333: one run each under --out, then compared."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also stream metrics to OUT/tensorboard, to be watched.")
    ] = False,
    dry: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only say what the run will cost and show a few prompts; a step is measured, nothing is written.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
    **settings: Any,
) -> None:
    """Train and evaluate one federated run, and leave its folder.

    Example: fedrouter-sim train --clients 10 --out runs/first
    """
    config, given = resolve_settings(preset, config_file, settings)
    if resume is not None:
        for name, value in (("--out", out), ("--overwrite", overwrite), ("--seeds", seeds), ("--dry-run", dry)):
            if value:
                raise UserError(f"{name}: does not go with --resume, which goes on as the run was begun")
        found = find_run(resume)
        found.check(config, given | all_named(preset, config_file))
        if found.begun is None:
            tidy(found.out)
            if not (found.out / REPORT_NAME).exists():  # it was all that was left to do
                _draw(found.out)
            print_result({"run": str(found.out), "finished": True}, [f"{found.out} is finished"], as_json)
            return
        refuse_code(f"--resume {resume}: was begun in that folder", vars(found.config), settings)
        _check_resumed(resume, found, tensorboard, checkpoint_every)
        config, out = found.config, found.out
    chosen = None if seeds is None else _parsed(seeds)
    if chosen and settings["seed"] is not None:
        raise UserError(f"--seed {config.seed}: does not go with --seeds {seeds}, which names them all; drop it")
    # What leads nowhere is refused before seconds of imports.
    Engine.wanted(workers, ray)
    spread: dict[str, Any] = {"checkpoint_every": checkpoint_every, "workers": workers, "ray": ray}
    resolve_model(config.model)
    find_source(config.data)
    if out is not None and not dry:
        refuse_taken(out)
        if resume is None and seeds is None:
            refuse_existing(out, overwrite, RUN_MARKS, "a run folder")

    from fedrouter_sim import Run, train
    from fedrouter_sim.methods import METHODS
    from fedrouter_sim.report.run_report import write_run_report
    from fedrouter_sim.report.tables import summary_table
    from fedrouter_sim.runs.entries import LED_BY, overruled_settings, unled_settings, unused_settings

    method = METHODS.class_of(config.method)
    for name in unused_settings(config, given) if resume is None else ():
        note(f"{flag(name)} has no effect with --method {method.name} --split {config.split}", quiet)
    for name in unled_settings(config, given) if resume is None else ():
        note(f"{flag(name)} has no effect without {flag(LED_BY[name])}", quiet)
    for name, by in overruled_settings(config, given).items() if resume is None else ():
        note(f"{flag(name)} has no effect with {flag(by)} {getattr(config, by)}", quiet)
    if dry:
        beside = {"--overwrite": overwrite, "--tensorboard": tensorboard, "--workers": workers, "--ray": ray}
        for name in (name for name, value in beside.items() if value):
            note(f"{name} has no effect with --dry-run", quiet)
        if chosen:
            note(f"--seeds {seeds}: {len(chosen)} runs, each at the cost of this one", quiet)
        from fedrouter_sim.operations.dry_run import dry_run
        from fedrouter_sim.report.data_tables import prompt_panels
        from fedrouter_sim.report.tables import cost_table, privacy_table

        tried = dry_run(config)
        for text in tried.notes:
            note(text, quiet)
        record = {**asdict(tried.cost), "prompts": [*map(asdict, tried.prompts)], "notes": [*tried.notes]}
        shown: list[Any] = [cost_table(tried.cost)]
        if tried.budget is not None:
            spent = tried.budget.spent(config.rounds)
            record, shown = record | {"privacy": asdict(spent)}, [*shown, privacy_table(spent)]
        print_result(record, [*shown, *prompt_panels(tried.prompts)], as_json)
        return
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"{stamp}-{method.name}"
    if chosen is not None:
        if tensorboard:
            raise UserError("--tensorboard: streams one run; it does not go with --seeds")
        _train_seeds(config, chosen, folder, overwrite, spread, as_json, quiet)
        return
    with display_for(quiet) as display:
        done = train(
            config,
            folder,
            overwrite,
            display,
            tensorboard=tensorboard,
            resume=resume is not None,
            **spread,
        )
        display.started("drawing the report")
        run = Run(done.folder)
        report = write_run_report(run)
    for text in done.notes:
        note(text, quiet)
    record = {**done.summary.to_dict(), "run": str(done.folder)}
    print_result(
        record, [summary_table(done.summary, run.metric), f"The run is in {done.folder}, its report {report}"], as_json
    )


def _draw(folder: Path) -> None:
    """Draw the report of a finished run that has none."""
    from fedrouter_sim import Run
    from fedrouter_sim.report.run_report import write_run_report

    try:
        write_run_report(Run(folder))
    except UserError as error:
        raise UserError(f"{folder} is finished, and its report: {error}; `fedrouter-sim report {folder}`") from None


def _check_resumed(resume: Path, found: Found, tensorboard: bool, checkpoint_every: str) -> None:
    """Refuse what a run that goes on was not begun with, beyond its settings, and data that are nowhere to be read.

    Raises:
        UserError: naming the flag.
    """
    begun = found.begun
    if begun and tensorboard and not begun.tensorboard:
        raise UserError(f"--tensorboard: {found.out} was begun without; it goes on as it was begun")
    if begun and checkpoint_every == EVERY_CLIENT and not begun.every_client:
        raise UserError(
            f"--checkpoint-every {EVERY_CLIENT}: {found.out} was begun with {EVERY_ROUND}; it goes on as it was begun"
        )
    if found.config.data in NOT_ON_DISK:
        raise UserError(
            f"--resume {resume}: its data are not on disk ({found.config.data}); go on from Python, with "
            "train(..., shares=..., resume=True)"
        )


def _train_seeds(
    config: RunConfig,
    seeds: list[int],
    folder: Path,
    overwrite: bool,
    how: Mapping[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Train one run per seed under a folder, going on where an earlier call stopped, and compare them."""
    from fedrouter_sim import train
    from fedrouter_sim.federation.crew import crew_of
    from fedrouter_sim.operations.study import conclude, not_made, run_study
    from fedrouter_sim.report.comparison_report import write_comparison_report
    from fedrouter_sim.report.comparison_terminal import comparison_table
    from fedrouter_sim.report.run_report import write_run_report
    from fedrouter_sim.runs.checking import notes_in
    from fedrouter_sim.studies.plan import PlannedRun, Study

    if overwrite:
        raise UserError("--overwrite: does not go with --seeds, which goes on with what is there; remove the folder")
    runs = tuple(PlannedRun(f"seed-{seed}", replace(config, seed=seed)) for seed in seeds)
    study = Study(f"{config.method} with several seeds", runs, ())
    failed: dict[str, UserError] = {}

    def refused(planned: PlannedRun, error: UserError) -> None:
        failed[planned.name] = error
        note(f"{planned.name} could not be made: {error}", quiet)

    try:
        # Workers, where there are any, are started once for all seeds.
        with display_for(quiet) as display, crew_of(Engine.wanted(how["workers"], how["ray"]), config):
            for planned, run in run_study(study, folder, partial(train, **how), display, refused=refused):
                display.started("drawing the report")
                write_run_report(run)
                for text in notes_in(run.manifest):
                    note(f"{planned.name}: {text}", quiet)
    except KeyboardInterrupt:
        note(f"the finished runs are in {folder}; the same command with --out {folder} goes on from there", quiet=False)
        raise
    comparison, _ = conclude(study, folder)
    if failed and not comparison.entries:
        raise not_made(failed, len(runs))
    for text in comparison.notes:
        note(text, quiet)
    report = write_comparison_report(folder / "report.html", study.title, comparison, [])
    record = {"runs": [str(entry.folder) for entry in comparison.entries]} | {
        f"{data}/{method}": asdict(found)
        for method in comparison.methods()
        for split, data in comparison.cells()
        if (found := comparison.estimate(method, split, data)) is not None
    }
    print_result(
        record, [*map(comparison_table, comparison.views), f"The runs are in {folder}, their page {report}"], as_json
    )
    if failed:
        raise not_made(failed, len(runs))


def _parsed(seeds: str) -> list[int]:
    try:
        found = [int(seed) for seed in seeds.split(",")]
    except ValueError:
        found = []
    if len(found) > MOST_SEEDS:
        raise UserError(f"--seeds: are {len(found):,}; give at most {MOST_SEEDS:,}")
    if not found or min(found) < 0 or max(found) >= 2**63 or len(set(found)) < len(found):
        raise UserError(f"--seeds {seeds}: must be different whole numbers, as 111,222,333")
    return found
