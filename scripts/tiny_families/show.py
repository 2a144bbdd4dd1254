"""What came out for the families: the record (JSON), the table on the screen, and the page of the docs."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.table import Table

from fedrouter_sim.errors import UserError
from fedrouter_sim.storage import write_json, write_text
from tiny_families.comparing import ANSWER, TOLERANCE, Row
from tiny_families.making import LENGTHS
from tiny_families.table import WINDOW

_LIBRARIES = ("torch", "transformers", "peft")
_HEAD = """# Families of models

<!-- Written by scripts/families.py (`make families`); a test compares its names with the families of the script. -->

The program takes any causal language model of `transformers`. For each family in the table, a tiny model with random
weights was made, opened as the program's backbone, and compared with plain `transformers` and PEFT, which took one text
at a time and computed every token from all those before it, without a cache. `make families` does that for all of them
and writes this page; CI does it for a few.
"""
_COMPARED = """Compared were, in float32 on a processor, {versions}:

- embeddings of {texts} texts of {least} to {most} tokens: the largest difference, relative to the largest number of
  an embedding,
- losses of their responses, by the bare backbone and with an adapter that was trained for one step on all of them: the
  largest relative difference,
- greedy answers of {answer} tokens, with the adapter and without: all texts together, each alone, and some that begin
  with the same words together. Where two tokens are so close that rounding chooses between them, the answer counts as
  equal,
- whether `AutoPeftModelForCausalLM.from_pretrained` opens the saved adapter; what it opens is what answers and losses
  with the adapter are compared with.

Embeddings and losses agree where they differ by at most {tolerance:g}; answers have to be equal, and to vary by prompt.
Windows hold {window} tokens in these models, so that most texts are longer. A tiny random model shows that a family's
code is used rightly. It says nothing about how well a real model of the family learns.

How prompts are answered together is what the program found by running the model: *padded right* lets prompts be run in
parts; *padded left* is for families in which padding between a prompt and its answer would count; *stateful* families
answer only prompts of equal length together, or each alone. LoRA targets are PEFT's usual ones where it has any; for
the others, `--lora-targets` was given.
"""
_COLUMNS = "family|attention|batches|LoRA targets|embeddings|losses|with adapter|answers|with adapter|plain PEFT|agrees"


def write_record(path: Path, rows: Sequence[Row]) -> None:
    """Write what came out as JSON, with the versions of the libraries."""
    write_json(path, {"versions": versions(), "families": [asdict(row) for row in rows]})


def read_records(paths: Sequence[Path]) -> list[Row]:
    """Read the rows of former runs, by name.

    Raises:
        UserError: a file is not readable, or was made with other versions of the libraries.
    """
    rows: dict[str, Row] = {}
    for path in paths:
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            found = [Row(**one | {"targets": tuple(one["targets"])}) for one in record["families"]]
            made_with = record["versions"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"--from {path}: not a record of families ({error}); give what --json wrote") from None
        if made_with != versions():
            raise UserError(f"--from {path}: was made with {made_with}, and {versions()} are here; compare again")
        rows |= {row.name: row for row in found}
    return [rows[name] for name in sorted(rows)]


def versions() -> dict[str, str]:
    """Return the versions of the libraries that are compared with."""
    return {name: version(name) for name in _LIBRARIES}


def table(rows: Sequence[Row]) -> Table:
    """Return the table for the screen."""
    shown = Table(*_COLUMNS.split("|"))
    for row in rows:
        shown.add_row(*_cells(row), style="red" if row.fault and not row.known else None)
    return shown


def page(rows: Sequence[Row]) -> str:
    """Return the page of the docs."""
    compared = _COMPARED.format(
        versions=", ".join(f"{name} {found}" for name, found in versions().items()),
        texts=len(LENGTHS),
        least=min(LENGTHS),
        most=max(LENGTHS),
        answer=ANSWER,
        tolerance=TOLERANCE,
        window=WINDOW,
    )
    agree = sum(not row.fault for row in rows)
    lines = [_HEAD, compared, f"{agree} of {len(rows)} agree.", ""]
    lines += ["| " + _COLUMNS.replace("|", " | ") + " |", "|---|---|---|---|--:|--:|--:|--:|--:|---|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "/") for cell in _cells(row, code="`")) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def write_page(path: Path, rows: Sequence[Row]) -> None:
    """Write the page of the docs."""
    write_text(path, page(rows))


def _cells(row: Row, code: str = "") -> list[str]:
    name = f"{code}{row.name}{code}" + (f" ({row.model_type})" if row.model_type != row.name else "")
    numbers = ["" if number is None else f"{number:.0e}" for number in (row.embeddings, row.losses, row.losses_adapted)]
    said = f"no: {row.fault}" + (f" (known: {row.known})" if row.known else "") if row.fault else "yes"
    targets = ", ".join(f"{code}{target}{code}" for target in row.targets)
    stock = "opens" if row.stock else "not opened"
    return [name, row.attention, row.found, targets, *numbers, row.answers, row.answers_adapted, stock, said]
