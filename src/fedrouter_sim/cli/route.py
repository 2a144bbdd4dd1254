"""`fedrouter-sim route`."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.record import Example
from fedrouter_sim.routing import BARE, GLOBAL, LOCAL

if TYPE_CHECKING:
    from fedrouter_sim.operations.route import Routed


def route_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run.", show_default=False)],
    text: Annotated[list[str] | None, typer.Argument(help="Texts to route.", show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option(help="File of texts, one a line, or JSONL (.jsonl); - is standard input.")
    ] = None,
    column: Annotated[str, typer.Option(help="Key of the text in JSONL.")] = "instruction",
    task_column: Annotated[
        str, typer.Option(help="Key of the true task in JSONL, for runs of oracle and central; else it is not read.")
    ] = "task",
    client: Annotated[
        int | None, typer.Option(help="The client that asks: its own answer, where answers depend on the client.")
    ] = None,
    routing: Annotated[
        str | None,
        typer.Option(
            metavar="|".join((GLOBAL, LOCAL, BARE)),
            help="Router over all tasks or the client's own, or the bare backbone; by default local with --client, "
            "where the method has it, else global.",
        ),
    ] = None,
    generate: Annotated[bool, typer.Option("--generate", help="Also answer each text.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Stream one JSON object a line.")] = False,
) -> None:
    """Say which adapter answers each text, how far its centroid is, and by what margin; with --generate, the answer.

    The run's method chooses, exactly as in `eval`: its router, or with --client what that client would get.

    Texts come from the arguments, from --file, or from standard input: plain lines, or JSONL.

    Example: fedrouter-sim route runs/first "Jana Sommer -> job -> guide; Jana Sommer -> hobby -> fencing" --generate
    """
    if text and file:
        raise UserError(f"--file {file}: texts were given as arguments too; give one or the other")
    if not text and file is None and sys.stdin.isatty():
        raise UserError("there is no text to route; give texts as arguments, --file PATH, or pipe lines in")

    from fedrouter_sim import RoutedModel

    model = RoutedModel(run, client=client, routing=routing)
    with _open(file) if not text else nullcontext() as source:
        name = str(file or "standard input")
        texts = iter(text) if text else _texts(source or sys.stdin, name, column, task_column)
        for routed in model.answer(texts) if generate else model.route(texts):
            if as_json:
                print(json.dumps(asdict(routed), ensure_ascii=False), flush=True)
            else:
                print("\t".join(_fields(routed)), flush=True)


def _fields(routed: "Routed") -> list[str]:
    """Return what is shown of a routed text, in one line."""
    mixed = ", ".join(f"{pool} {weight:.2f}" for pool, weight in routed.weights.items())
    fields = [mixed or routed.task]
    if routed.distance is not None:
        margin = "-" if routed.margin is None else f"{routed.margin:.3f}"
        fields += [f"distance {routed.distance:.3f}", f"margin {margin}"]
    fields.append(_one_line(routed.text))
    return fields + ([_one_line(routed.answer)] if routed.answer is not None else [])


def _open(file: Path | None) -> "TextIO | nullcontext[TextIO]":
    if file is None or str(file) == "-":
        return nullcontext(sys.stdin)
    try:
        return file.open(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--file {file}: {error.strerror}; give a text or JSONL file") from None


def _texts(source: TextIO, name: str, column: str, task_column: str) -> "Iterator[str | Example]":
    """Yield the texts of lines or of JSONL, without holding more than a line."""
    jsonl = name.endswith(".jsonl")
    try:
        for number, line in enumerate(source, start=1):
            line = line.strip()
            if not line:
                continue
            if number == 1 and line.startswith("{") and not jsonl:
                jsonl = _is_object(line)
            yield _from_json(line, name, number, column, task_column) if jsonl else line
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is not UTF-8 text ({error.reason})") from None


def _from_json(line: str, name: str, number: int, column: str, task_column: str) -> "Example":
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{name}, line {number}: is not JSON ({error})") from None
    if not isinstance(record, dict) or not isinstance(record.get(column), str) or not record[column].strip():
        raise UserError(f"{name}, line {number}: has no text under {column!r}; name the key with --column")
    task = record.get(task_column)
    return Example(record[column], "", None if task is None else str(task))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _one_line(text: str) -> str:
    return " ".join(text.split())
