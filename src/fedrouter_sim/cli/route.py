"""`fedrouter-sim route`."""

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, TextIO

import typer

from fedrouter_sim.errors import UserError


def route_command(
    run: Annotated[Path, typer.Argument(help="Folder of a run with a router.", show_default=False)],
    text: Annotated[list[str] | None, typer.Argument(help="Texts to route.", show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option(help="File of texts, one a line, or JSONL (.jsonl); - is standard input.")
    ] = None,
    column: Annotated[str, typer.Option(help="Key of the text in JSONL.")] = "instruction",
    generate: Annotated[bool, typer.Option("--generate", help="Also answer each text by its adapter.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Stream one JSON object a line.")] = False,
) -> None:
    """Say which task adapter each text goes to, how far it is, and by what margin; with --generate, its answer.

    Texts come from the arguments, from --file, or from standard input: plain lines, or JSONL.

    Example: fedrouter-sim route runs/first "Jana Sommer -> job -> guide; Jana Sommer -> hobby -> fencing" --generate
    """
    if text and file:
        raise UserError(f"--file {file}: texts were given as arguments too; give one or the other")
    if not text and file is None and sys.stdin.isatty():
        raise UserError("there is no text to route; give texts as arguments, --file PATH, or pipe lines in")

    from fedrouter_sim import RoutedModel

    model = RoutedModel(run)
    with _open(file) if not text else nullcontext() as source:
        texts = iter(text) if text else _texts(source or sys.stdin, str(file or "standard input"), column)
        for routed in model.answer(texts) if generate else model.route(texts):
            if as_json:
                print(json.dumps(asdict(routed), ensure_ascii=False), flush=True)
            else:
                margin = "-" if routed.margin is None else f"{routed.margin:.3f}"
                fields = [routed.task, f"distance {routed.distance:.3f}", f"margin {margin}", _one_line(routed.text)]
                print("\t".join(fields + ([_one_line(routed.answer)] if routed.answer is not None else [])), flush=True)


def _open(file: Path | None) -> "TextIO | nullcontext[TextIO]":
    if file is None or str(file) == "-":
        return nullcontext(sys.stdin)
    try:
        return file.open(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--file {file}: {error.strerror}; give a text or JSONL file") from None


def _texts(source: TextIO, name: str, column: str) -> Iterator[str]:
    """Yield the texts of lines or of JSONL, without holding more than a line."""
    jsonl = name.endswith(".jsonl")
    try:
        for number, line in enumerate(source, start=1):
            line = line.strip()
            if not line:
                continue
            if number == 1 and line.startswith("{") and not jsonl:
                jsonl = _is_object(line)
            yield _from_json(line, name, number, column) if jsonl else line
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: is not UTF-8 text ({error.reason})") from None


def _from_json(line: str, name: str, number: int, column: str) -> str:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{name}, line {number}: is not JSON ({error})") from None
    if not isinstance(record, dict) or not isinstance(record.get(column), str) or not record[column].strip():
        raise UserError(f"{name}, line {number}: has no text under {column!r}; name the key with --column")
    return str(record[column])


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _one_line(text: str) -> str:
    return " ".join(text.split())
