"""`fedrouter-sim eval`."""

from pathlib import Path
from typing import Annotated

import typer

from fedrouter_sim.cli.output import display_for, note, print_result
from fedrouter_sim.cli.settings import MovedModel, OtherRouter, OwnOptions, TrustCode, UnseenAnswer
from fedrouter_sim.config.words import ON_BAD_ROW
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.sources import find_source
from fedrouter_sim.partition.test_data import RUN_TEST_DATA
from fedrouter_sim.routing import BARE, GLOBAL, LOCAL, ORACLE
from fedrouter_sim.runs.layout import require_run

_ROUTINGS = (GLOBAL, LOCAL, ORACLE, BARE)


def eval_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    test_data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(RUN_TEST_DATA),
            help="Test data: the client's own mixture, all tasks, the drifted mixture, the held-out tasks. Repeatable.",
        ),
    ] = None,
    routing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(_ROUTINGS),
            help="Router over all tasks or the client's own; or by true label; or the bare backbone. Repeatable.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Other test data, assigned to the clients (under --split natural to those it names): a file, a folder "
            "with a test file, 'multitask', 'unseen', 'paper', or a data set of the Hub as org/name."
        ),
    ] = None,
    instruction_column: Annotated[
        list[str] | None, typer.Option(help="Column of --data; by default the run's. Repeatable.")
    ] = None,
    response_column: Annotated[str | None, typer.Option(help="Column of --data; by default the run's.")] = None,
    task_column: Annotated[str | None, typer.Option(help="Column of --data; by default the run's.")] = None,
    client_column: Annotated[str | None, typer.Option(help="Column of --data; by default the run's.")] = None,
    on_bad_row: Annotated[
        str | None,
        typer.Option(metavar="|".join(ON_BAD_ROW), help="Rows that cannot be used; by default as the run was told."),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric to show first; by default the run's. Your own as FILE.py:CLASS.")
    ] = None,
    router: OtherRouter = None,
    option: OwnOptions = None,
    unseen: UnseenAnswer = None,
    test_examples_per_client: Annotated[
        int | None, typer.Option(help="At most so many per client, drawn by the run's seed.")
    ] = None,
    model: MovedModel = None,
    trust_code: TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes.")] = False,
) -> None:
    """Score a run in the cells of the protocol; results also go to RUN/eval/.

    Example: fedrouter-sim eval runs/first --test-data all --routing global --routing oracle
    """
    for flag, values, known in (
        ("--test-data", test_data, RUN_TEST_DATA),
        ("--routing", routing, _ROUTINGS),
        ("--on-bad-row", [on_bad_row] if on_bad_row else (), ON_BAD_ROW),
    ):
        for value in values or ():
            if value not in known:
                raise UserError(f"{flag} {value}: choose among {', '.join(known)}")
    if test_examples_per_client is not None and test_examples_per_client < 1:
        raise UserError(f"--test-examples-per-client {test_examples_per_client}: must be at least 1")

    named = {
        "--instruction-column": " ".join(instruction_column or ()),
        "--response-column": response_column,
        "--task-column": task_column,
        "--client-column": client_column,
    }
    for flag, column in named.items():
        if column and data is None:
            raise UserError(f"{flag} {column}: is a column of --data; give --data too, or drop it")

    require_run(run)
    if data is not None:
        find_source(data)

    from fedrouter_sim import Run, evaluate
    from fedrouter_sim.examples.record import Columns
    from fedrouter_sim.report.tables import confusion_table, labels_table, scores_table, unseen_table

    opened = Run(run, trust_code, model)
    config = opened.config
    columns = Columns(
        tuple(instruction_column or ()) or config.instruction_column,
        response_column or config.response_column,
        task_column or config.task_column,
        client_column or config.client_column,
    )
    with display_for(quiet) as display:
        done = evaluate(
            opened,
            display,
            test_data or (),
            routing or (),
            data,
            None if data is None else columns,
            test_examples_per_client,
            metric=metric,
            option=option or (),
            on_bad_row=on_bad_row,
            unseen=unseen,
            router=router,
        )
    for text in done.notes:
        note(text, quiet)
    tables = [
        scores_table(done.results, done.metric),
        *([labels_table(done.results)] if any(result.label_tasks for result in done.results) else []),
        *(confusion_table(result) for result in done.results if result.confusion),
    ]
    record = {result.cell.name: result.to_dict() for result in done.results}
    if done.unseen.auroc is not None:
        record["unseen"] = {"auroc": done.unseen.auroc, "per_task": dict(done.unseen.per_task)}
        tables.append(unseen_table(done.unseen))
    print_result(record, [*tables, f"Written to {', '.join(map(str, done.files))}"], as_json)
