"""How many names and facts an answer took from the right input: `python scripts/copied_facts.py RUN [--cell CELL]`.

A fact is a word of the reference that begins with a capital or a digit and stands in the instruction, too. Printed per
task: of the references' facts, the share that the answers have (recall); and of the answers' words of that kind, the
share that stands in their own instruction (precision: what is not made up or taken from elsewhere).
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

_FACT = re.compile(r"\b[A-Z0-9][\w'-]*")


def facts(text: str, source: str) -> Counter[str]:
    """The capitalised words and numbers of a text that `source` has as well."""
    words = set(re.findall(r"[\w'-]+", source))
    return Counter(word for word in _FACT.findall(text) if word in words)


def shares(answers: Iterable[dict[str, str]]) -> tuple[float, float, int]:
    """Recall, precision and number of the facts of answers to one task."""
    wanted = found = said = true = 0
    for answer in answers:
        own = facts(answer["reference"], answer["instruction"])
        given = facts(answer["answer"], answer["instruction"])
        wanted += own.total()
        found += (own & given).total()
        # The first word of a sentence has a capital whatever it is.
        named = [m for m in _FACT.finditer(answer["answer"]) if m.start() and answer["answer"][m.start() - 2] != "."]
        said += len(named)
        true += sum(m.group() in given for m in named)
    return found / max(wanted, 1), true / max(said, 1), wanted


def main() -> None:
    """Print the table for a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cell", help="by default the method's own answers to all tasks")
    arguments = parser.parse_args()
    folder = arguments.run / "eval"
    cell = arguments.cell or next(name for name in ("all-global", "all-fixed") if (folder / f"{name}.jsonl").exists())
    answers = [json.loads(line) for line in (folder / f"{cell}.jsonl").read_text(encoding="utf-8").splitlines()]
    table = Table("task", "facts in references", "recall", "precision", title=f"{arguments.run}, cell {cell}")
    for task in sorted({answer["task"] for answer in answers}):
        recall, precision, count = shares(answer for answer in answers if answer["task"] == task)
        if count:
            table.add_row(task, str(count), f"{recall:.3f}", f"{precision:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
