"""Try families of models: `python scripts/families.py [NAME ...] [--page docs/families.md] [--json FILE]`.

Of each, a tiny random model is made and compared with plain transformers and PEFT, one text at a time. The exit code
is 1 if a family does not agree that is not known for it. Nothing is fetched.

`--from FILE ...` shows what was compared before.
"""

import argparse
import sys
import warnings
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tiny_families import show
from tiny_families.comparing import Row, compare
from tiny_families.making import make_tokenizer
from tiny_families.table import FAMILIES

from fedrouter_sim.errors import UserError


def chosen(names: list[str]) -> list[str]:
    """Return the families to try, in their order; without names, all.

    Raises:
        UserError: there is no such family.
    """
    for name in names:
        if name not in FAMILIES:
            raise UserError(f"{name}: no such family; there are {', '.join(FAMILIES)}")
    return [name for name in FAMILIES if name in names or not names]


def tried(names: list[str]) -> list[Row]:
    """Compare families by name, with a progress bar where there is a terminal."""
    warnings.simplefilter("ignore")  # what families say of their own code is not ours to act on
    tokenizer = make_tokenizer()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    rows = []
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("families", total=len(names))
        for name in names:
            progress.update(task, description=name)
            rows.append(compare(name, FAMILIES[name], tokenizer))
            progress.advance(task)
    return rows


def main(given: list[str] | None = None) -> int:
    """Compare, show and write; return 1 if a family does not agree that is not known for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="families; without names, all")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write the page of the docs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what came out")
    parser.add_argument("--from", dest="records", type=Path, nargs="+", metavar="FILE", help="show records of --json")
    options = parser.parse_args(given)
    try:
        names = chosen(options.names)
        rows = show.read_records(options.records) if options.records else tried(names)
        if options.page and (missing := FAMILIES.keys() - {row.name for row in rows}):
            raise UserError(f"--page: is for all families; {', '.join(sorted(missing))} were not tried")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if options.json:
        show.write_record(options.json, rows)
    if options.page:
        show.write_page(options.page, rows)
    Console(width=None if sys.stdout.isatty() else 220).print(show.table(rows))
    return int(any(row.fault and not row.known for row in rows))


if __name__ == "__main__":
    sys.exit(main())
