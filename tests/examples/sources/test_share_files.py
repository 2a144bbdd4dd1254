"""Files of a folder as parts of shares."""

from pathlib import Path

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.sources.share_files import share_files


def found(folder: Path, *names: str) -> dict[str, list[str]]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return {share: [str(path.relative_to(folder)) for path in paths] for share, paths in share_files(folder).items()}


def shards(share: str, of: int, begin: int = 0) -> list[str]:
    return [f"{share}-{number:05}-of-{of:05}.parquet" for number in range(begin, begin + of)]


def test_parts_of_a_share_come_in_numeric_order(tmp_path: Path) -> None:
    numbered = [f"test_{number}.jsonl" for number in (2, 10, 9, 1, 3, 4, 5, 6, 7, 8)]
    assert found(tmp_path, *shards("train", 12)[::-1], "val-1.csv", *numbered) == {
        "train": shards("train", 12),
        "validation": ["val-1.csv"],
        "test": [f"test_{number}.jsonl" for number in range(1, 11)],
    }
    assert found(tmp_path / "one", *shards("train", 2, begin=1))["train"] == shards("train", 2, begin=1)


def test_a_number_longer_than_any_is_none_of_a_part(tmp_path: Path) -> None:
    assert found(tmp_path, f"train_{'1' * 60}.csv", "train.csv") == {"train": ["train.csv"]}


def test_suffixes_may_be_large_or_compressed(tmp_path: Path) -> None:
    assert found(tmp_path, "Train.JSONL", "test.csv.GZ", "dev.tsv.zst") == {
        "train": ["Train.JSONL"], "validation": ["dev.tsv.zst"], "test": ["test.csv.GZ"]
    }  # fmt: skip


def test_a_folder_named_data_serves_where_the_folder_has_no_share_itself(tmp_path: Path) -> None:
    names = [f"data/{name}" for name in (*shards("train", 1), *shards("test", 1))]
    assert found(tmp_path, "README.md", "dataset_infos.json", *names) == {"train": names[:1], "test": names[1:]}
    assert found(tmp_path, "train.csv") == {"train": ["train.csv"]}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (shards("train", 4)[:2] + shards("train", 4)[3:], "train-00002-of-00004.parquet is missing; .* 3 of 4 files"),
        (shards("train", 4)[:3], "train-00003-of-00004.parquet is missing"),
        (["train_1.csv", "train_3.csv"], r"train_2\.csv is missing"),
        (["train_1.csv", f"train_{10**17}.csv"], r"train_2\.csv is missing; .* 2 of 100000000000000000 files"),
        (["train-00000-of-99999999999.parquet"], "train-00001-of-99999999999.parquet is missing"),
        (["train.csv", "train_1.csv"], r"both train\.csv and train_1\.csv"),
        (["train_1.csv", "train_01.csv"], r"both train_01\.csv and train_1\.csv"),
        (["train_1.csv", "train_2.jsonl"], r"both train_1\.csv and train_2\.jsonl"),
        (["train.jsonl", "train.jsonl.gz"], r"both train\.jsonl and train\.jsonl\.gz"),
        (["val.jsonl", "dev.jsonl"], r"both dev\.jsonl and val\.jsonl"),
        ([*shards("train", 2), *shards("train", 3)], "both train-00000-of-00002.parquet and train-00000-of-00003"),
    ],
)
def test_parts_that_do_not_go_together_are_refused_by_name(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        found(tmp_path, *names)
