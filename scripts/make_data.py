"""Write the embedded data: `python scripts/make_data.py [--seed 0] [--out data]`."""

import argparse
import json
from pathlib import Path

from grammar.tasks import Row, multitask, twelve_rows, unrelated_rows, unseen_rows

README = """# Embedded data

Written by `python scripts/make_data.py --seed {seed}` from the grammar in `scripts/grammar/`, which invents every name,
sentence and fact; nothing is taken from another data set. The same seed gives the same bytes. Licence: that of the
project.

Every line is a JSON object with `instruction`, `response` and `task`.

- `multitask/`: four tasks over the same people, places and topics. `paraphrase`: two questions, do they ask the same
  (Yes or No)? Half of those that do not have nothing in common; the others differ in one name or in what is asked.
  `headline`: a news sentence, its headline. `dialogue`: a chat, its summary. `triples`: facts, a text that states them.
- `unseen/`: two skills that no share trains. `lookup`: a timetable and a question, its answer. `correct`: a sentence
  and a correction, the corrected sentence.
- `unrelated/`: 24 rows of each of these six tasks, drawn apart, that no run trains on. The server goes by them to tell
  how alike tasks are to a backbone that have nothing to do with each other.
- `twelve/`: what task discovery is measured on; in the source only, not in the installed package. New training rows of
  the six tasks above, and of six more. `extract`: a text about a person or a company, its facts in one form. `order`:
  names, the same in alphabetical order. `topic`: a piece of news, one of `sport`, `business`, `culture` and `weather`.
  `mood`: a review, `good` or `bad`. `question`: a statement, the question that it answers. `total`: how many things two
  or three people have, the sum. The six more come in five to seven surface forms each, such as prose, a chat,
  `key: value` lines and JSON, and share most of these: the form of a text hardly gives its task away. Every label of a
  task has the same number of rows.

A row's share follows from the first two names in its instruction: the pair that opens a validation or test row opens no
training row of any task, although every name by itself is known from training.

| file | task | rows | mean words, instruction | mean words, response |
|---|---|---|---|---|
{table}
"""


def to_jsonl(rows: list[Row]) -> str:
    """One JSON object a line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def mean_words(rows: list[Row], field: str) -> float:
    """The mean number of words of a field."""
    return sum(len(row[field].split()) for row in rows) / len(rows)


def table(files: dict[str, list[Row]]) -> str:
    """The counts and mean lengths of every task of every file, as rows of a Markdown table."""
    lines = []
    for name, rows in files.items():
        for task in sorted({row["task"] for row in rows}):
            own = [row for row in rows if row["task"] == task]
            words = [f"{mean_words(own, field):.1f}" for field in ("instruction", "response")]
            lines.append(f"| `{name}` | {task} | {len(own)} | {words[0]} | {words[1]} |")
    return "\n".join(lines)


def build(seed: int) -> dict[str, str]:
    """Every file by its path under the output folder."""
    files = {f"multitask/{share}.jsonl": rows for share, rows in multitask(seed).items()}
    files["unseen/test.jsonl"] = unseen_rows(seed)
    files["unrelated/rows.jsonl"] = unrelated_rows(seed)
    files["twelve/train.jsonl"] = twelve_rows(seed)
    texts = {name: to_jsonl(rows) for name, rows in files.items()}
    return texts | {"README.md": README.format(seed=seed, table=table(files))}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("data"))
    options = parser.parse_args()
    for name, text in build(options.seed).items():
        path = options.out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"{path}: {len(text.encode())} bytes")


if __name__ == "__main__":
    main()
