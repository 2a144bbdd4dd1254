"""Small copies of the paper's four data sets, in exactly their form."""

import csv
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet

Text = datasets.Value("string")
QQP = datasets.Features(
    {
        "question1": Text,
        "question2": Text,
        "label": datasets.ClassLabel(names=["not_duplicate", "duplicate"]),
        "idx": datasets.Value("int32"),
    }
)
WEBNLG = datasets.Features(
    {
        "gem_id": Text,
        "gem_parent_id": Text,
        "input": datasets.Sequence(Text),
        "target": Text,
        "references": datasets.Sequence(Text),
        "category": Text,
        "webnlg_id": Text,
    }
)
GIGAWORD = datasets.Features({"article": Text, "summary": Text})

# What the card of nyu-mll/glue says of its files, as far as loading heeds it.
GLUE_CARD = """---
dataset_info:
- config_name: cola
  features:
  - {name: sentence, dtype: string}
  splits:
  - {name: train, num_bytes: 1, num_examples: 1}
- config_name: qqp
  features:
  - {name: question1, dtype: string}
  - {name: question2, dtype: string}
  - name: label
    dtype:
      class_label:
        names:
          '0': not_duplicate
          '1': duplicate
  - {name: idx, dtype: int32}
  splits:
  - {name: train, num_bytes: 50900820, num_examples: 363846}
  - {name: validation, num_bytes: 5653754, num_examples: 40430}
  - {name: test, num_bytes: 55171111, num_examples: 390965}
configs:
- config_name: cola
  data_files:
  - {split: train, path: cola/train-*}
- config_name: qqp
  data_files:
  - {split: train, path: qqp/train-*}
  - {split: validation, path: qqp/validation-*}
  - {split: test, path: qqp/test-*}
---
"""


def parquet(path: Path, rows: list[dict[str, Any]], features: datasets.Features) -> None:
    """Write rows as `datasets` does, which keeps its own types, such as ClassLabel, in the file's metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=features.arrow_schema), path)


def qqp_row(split: str, i: int, **changes: Any) -> dict[str, Any]:
    row = {"question1": f"Is {split} {i} it?", "question2": f"Is it {split} {i}?", "label": i % 2, "idx": i}
    return row | changes


def webnlg_row(split: str, i: int, **changes: Any) -> dict[str, Any]:
    triples = [f"{split}_{i} | birthPlace | Oslo", f'Oslo | country | "Nor\'way {i}"'][: 1 + i % 2]
    text = f"{split} {i} was born in Oslo."
    row = {"gem_id": f"web_nlg_en-{split}-{i}", "gem_parent_id": f"web_nlg_en-{split}-{i}", "input": triples}
    row |= {"target": text, "references": [] if split == "train" else [text, "Also so."]}
    return row | {"category": "Artist", "webnlg_id": f"{split}/Artist/1/Id{i}"} | changes


def samsum_row(split: str, i: int, **changes: Any) -> dict[str, Any]:
    lines = f"Ann: {split} {i}?\r\nBob: Yes, {i}.\r\nAnn: <file_gif>"
    return {"id": f"13{i}", "dialogue": lines, "summary": f"Ann asks, {i}."} | changes


def write_copies(folder: Path, rows: int = 12) -> Path:
    """Write a copy of each data set as the Hub has it, with `rows` rows a split and what is missing in some of them."""
    glue, gem = folder / "nyu-mll/glue", folder / "GEM/web_nlg"
    gigaword, samsum = folder / "SalmanFaroz/gigaword", folder / "knkarthick/samsum"
    for split in ("train", "validation", "test"):
        several = range(rows if split == "train" else 2 * rows)
        table = [qqp_row(split, i, **({"label": -1} if split == "test" else {})) for i in several]
        table += [qqp_row(split, 97, label=-1), qqp_row(split, 98, question2=None), qqp_row(split, 99, question1=" ")]
        parquet(glue / f"qqp/{split}-00000-of-00001.parquet", table, QQP)
        table = [webnlg_row(split, i) for i in range(rows)]
        table += [webnlg_row(split, 0, target="Another verbalisation."), webnlg_row(split, 98, target="")]
        parquet(gem / f"en/{split}/0000.parquet", [*table, webnlg_row(split, 99, input=[])], WEBNLG)
        parquet(gem / f"ru/{split}/0000.parquet", [webnlg_row(split, 7, target="по-русски")], WEBNLG)
        table = [{"article": f"{split} {i} rose #.# percent .", "summary": f"rise of {i}"} for i in range(rows)]
        parquet(
            gigaword / f"data/{split}-00000-of-00001.parquet", [*table, {"article": "x", "summary": None}], GIGAWORD
        )
        samsum.mkdir(parents=True, exist_ok=True)
        with (samsum / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["id", "dialogue", "summary"])
            writer.writeheader()
            writer.writerows([*(samsum_row(split, i) for i in range(rows)), samsum_row(split, 99, dialogue=None)])
    for split in ("challenge_train_sample", "challenge_test_scramble"):
        parquet(gem / f"en/{split}/0000.parquet", [webnlg_row(split, 5)], WEBNLG)
    parquet(glue / "cola/train-00000-of-00001.parquet", [{"sentence": "x"}], datasets.Features({"sentence": Text}))
    (glue / "README.md").write_text(GLUE_CARD)
    return folder
