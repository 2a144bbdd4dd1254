"""`fedrouter-sim route`."""

import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedrouter_sim.cli.output import as_json_line
from fedrouter_sim.cli.settings import MovedModel, OtherRouter, OwnOptions, TrustCode, UnseenAnswer
from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.asking import Asking
from fedrouter_sim.examples.record import Example
from fedrouter_sim.routing import BARE, GLOBAL, LOCAL
from fedrouter_sim.runs.layout import require_run
from fedrouter_sim.showing import plain

if TYPE_CHECKING:
    from fedrouter_sim.operations.route import Routed


def route_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    text: Annotated[list[str] | None, typer.Argument(help="Texts to route.", show_default=False)] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="File of texts, one a line, or a data file as of train --data; - is standard input."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            help="Column of the text, or of turns, in data files and JSONL, repeatable; by default as the run was "
            "trained: its --instruction-column, or what makes an instruction."
        ),
    ] = None,
    task_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the true task, for runs of oracle and central, else not read; by default the run's.",
            show_default=False,
        ),
    ] = None,
    client: Annotated[
        str | None,
        typer.Option(
            help="The client that asks: its own answer, where answers depend on the client. Its number or, where there "
            "is no such number, its name in the data (train --split natural)."
        ),
    ] = None,
    routing: Annotated[
        str | None,
        typer.Option(
            metavar="|".join((GLOBAL, LOCAL, BARE)),
            help="Router over all tasks or the client's own, or the bare backbone; by default local with --client, "
            "where the method has it, else global.",
        ),
    ] = None,
    unseen: UnseenAnswer = None,
    router: OtherRouter = None,
    option: OwnOptions = None,
    generate: Annotated[bool, typer.Option("--generate", help="Also answer each text.")] = False,
    model: MovedModel = None,
    trust_code: TrustCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Stream one JSON object a line.")] = False,
) -> None:
    """Say which adapter answers each text, how far its centroid is, by what margin, and how unseen the text is; with
    --generate, the answer.

    The run's method chooses, exactly as in `eval`: its router, or with --client what that client would get.

    Texts come from the arguments, from --file, or from standard input: plain lines, or JSONL. JSONL and lines are
    answered as they come.

    Example: fedrouter-sim route runs/first "Jana Sommer -> job -> guide; Jana Sommer -> hobby -> fencing" --generate
    """
    if text and file:
        raise UserError(f"--file {file}: texts were given as arguments too; give one or the other")
    if not text and file is None and sys.stdin.isatty():
        raise UserError("there is no text to route; give texts as arguments, --file PATH, or pipe lines in")

    require_run(run)
    if file is not None and str(file) != "-" and not file.exists():
        raise UserError(f"--file {file}: there is no such file")

    from fedrouter_sim import RoutedModel, Run

    opened = Run(run, trust_code, model)
    answers = RoutedModel(opened, client=client, routing=routing, unseen=unseen, router=router, option=option or ())
    asking = Asking(tuple(column or ()) or opened.config.instruction_column, task_column or opened.config.task_column)
    if text:
        texts: Iterator[str | Example] = iter(text)
    elif file is None or str(file) == "-":
        texts = asking.stream(sys.stdin.buffer)
    else:
        texts = asking.file(file)
    for routed in answers.answer(texts) if generate else answers.route(texts):
        if as_json:
            print(as_json_line(asdict(routed)), flush=True)
        else:
            print("\t".join(_fields(routed)), flush=True)


def _fields(routed: "Routed") -> list[str]:
    """Return what is shown of a routed text, in one line."""
    mixed = ", ".join(f"{pool} {weight:.2f}" for pool, weight in routed.weights.items())
    fields = [mixed or routed.task]
    if routed.distance is not None:
        margin = "-" if routed.margin is None else f"{routed.margin:.3f}"
        fields += [f"distance {routed.distance:.3f}", f"margin {margin}"]
    if routed.confidence is not None:
        fields.append(f"confidence {routed.confidence:.3f}")
    if routed.unseen is not None:
        # Three digits would show 0.9996 as what no text ever is.
        fields.append(f"{'unseen' if routed.is_unseen else 'seen'} {routed.unseen:.4f}")
    fields.append(_one_line(routed.text))
    return fields + ([_one_line(routed.answer)] if routed.answer is not None else [])


def _one_line(text: str) -> str:
    return plain(" ".join(text.split()))
