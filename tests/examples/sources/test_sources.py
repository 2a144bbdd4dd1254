"""From --data to shares: folders, files split by seed, embedded data and data sets of the Hub."""

import json
from pathlib import Path
from typing import Any

import pytest

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Columns, Shares, tasks_of
from fedrouter_sim.examples.sources import load_shares, load_test
from fedrouter_sim.examples.sources.embedded import Embedded

ROWS = [{"instruction": f"say {i}", "response": f"r{i}", "task": f"t{i % 2}"} for i in range(12)]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSONL, which a file that ends in .json may hold, too, or as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row) for row in rows]
    if path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def test_a_folders_shares_are_its_files(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS[:4])
    write(tmp_path / "valid.json", ROWS[4:5])
    write(tmp_path / "test.csv", ROWS[5:7])
    shares = load_shares(str(tmp_path), Reading(seed=0))
    assert [len(shares.train), len(shares.validation), len(shares.test)] == [4, 1, 2]
    assert load_test(str(tmp_path), Reading()) == shares.test


def test_a_folder_needs_no_validation_file(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS[:4])
    write(tmp_path / "test.jsonl", ROWS[4:])
    assert load_shares(str(tmp_path), Reading(seed=0)).validation == ()


def test_a_folder_without_train_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", ROWS)
    with pytest.raises(UserError, match="no train file"):
        load_shares(str(tmp_path), Reading(seed=0))


def test_a_folder_with_a_train_file_alone_is_split_as_that_file_is_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", ROWS)
    shares = load_shares(str(tmp_path), Reading(seed=3))
    assert shares == load_shares(str(path), Reading(seed=3)) and len(shares.test) == 1
    [note] = shares.notes
    assert note.startswith(f"--data {tmp_path}: has no test file, so the rows of train.jsonl are split by seed")
    with pytest.raises(UserError, match="no test file"):
        load_test(str(tmp_path), Reading())


def test_a_folder_without_test_file_is_tested_on_its_validation_rows_and_says_so(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS[:9])
    write(tmp_path / "dev.jsonl", ROWS[9:])
    shares = load_shares(str(tmp_path), Reading(seed=0))
    assert [len(shares.train), len(shares.validation), len(shares.test)] == [9, 0, 3]
    assert shares.notes == (f"--data {tmp_path}: has no file 'test', so 'dev.jsonl' serves as the test share",)
    assert load_test(str(tmp_path), Reading()) == shares.test


def test_a_folder_with_one_file_of_another_name_is_that_file_and_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "d" / "mine.jsonl", ROWS)
    shares = load_shares(str(tmp_path / "d"), Reading(seed=3))
    assert shares == load_shares(str(path), Reading(seed=3)) and "mine.jsonl" in shares.notes[0]
    assert len(load_test(str(tmp_path / "d"), Reading())) == len(ROWS)
    write(tmp_path / "d" / "yours.csv", ROWS)
    for load in (
        lambda: load_shares(str(tmp_path / "d"), Reading()),
        lambda: load_test(str(tmp_path / "d"), Reading()),
    ):
        with pytest.raises(UserError, match=r"no (train|test) file .*; it has mine\.jsonl, yours\.csv: rename"):
            load()


def test_labels_and_ids_are_one_in_all_shares_whatever_their_type(tmp_path: Path) -> None:
    def rows(value: Any) -> list[dict[str, Any]]:
        return [{**row, "task": value, "client": value} for row in ROWS[:2]]

    write(tmp_path / "train.jsonl", rows(1.0))
    write(tmp_path / "dev.jsonl", rows(1))
    write(tmp_path / "test.jsonl", rows("1"))
    shares = load_shares(str(tmp_path), Reading())
    every = (*shares.train, *shares.validation, *shares.test)
    assert {(example.task, example.client) for example in every} == {("1", "1")} and not shares.notes


def test_the_texts_of_whole_numbers_with_and_without_a_point_are_one_and_a_note_says_so(tmp_path: Path) -> None:
    for name, values in (("train", ["1.0", "2.0", "x"]), ("test", ["1", "2.5", "x"])):
        write(tmp_path / f"{name}.csv", [{**row, "task": v} for row, v in zip(ROWS, values, strict=False)])
    shares = load_shares(str(tmp_path), Reading())
    assert tasks_of(shares.train) == ["1", "2", "x"] and tasks_of(shares.test) == ["1", "2.5", "x"]
    assert shares.notes == (f"--data {tmp_path}: task '1.0' and '1' are taken for one, as all such numbers",)
    write(tmp_path / "test.csv", [{**ROWS[0], "task": "3"}])
    assert tasks_of(load_shares(str(tmp_path), Reading()).train) == ["1.0", "2.0", "x"]


def test_notes_of_test_data_are_kept_by_the_reading(tmp_path: Path) -> None:
    reading = Reading(on_bad_row="skip")
    path = write(tmp_path / "mine.jsonl", [*ROWS, {**ROWS[0], "response": None, "id": 3}])
    assert len(load_test(str(path), reading)) == len(ROWS)
    assert reading.notes == [
        f"--data {path}: columns not read: id",
        f"--data {path}: left out 1 of 13 rows that cannot be used (the first: row 13, column 'response' is empty)",
    ]


def test_two_files_of_one_share_are_refused_by_name(tmp_path: Path) -> None:
    for name in ("train.jsonl", "train.csv", "test.jsonl"):
        write(tmp_path / name, ROWS)
    with pytest.raises(UserError, match=r"both train\.csv and train\.jsonl"):
        load_shares(str(tmp_path), Reading(seed=0))


def test_a_path_that_is_not_there_is_refused_with_what_would_do(tmp_path: Path) -> None:
    for source in (str(tmp_path / "x"), "no-such", "no/such.jsonl", "no/such/thing", "no/such:", ":x"):
        for load in (lambda s: load_shares(s, Reading(seed=0)), lambda s: load_test(s, Reading())):
            with pytest.raises(UserError, match=r"no such file or folder; give multitask, paper, .* org/name"):
                load(source)


def split_file(tmp_path: Path, different: int, seed: int) -> Shares:
    """The shares of one file in which every instruction comes twice."""
    rows = [{"instruction": f"ask {i % different}", "response": f"r{i}"} for i in range(2 * different)]
    return load_shares(str(write(tmp_path / "all.jsonl", rows)), Reading(seed=seed))


@pytest.mark.parametrize("different", [3, 10, 57])
def test_one_file_is_split_80_10_10_and_disjoint_by_instruction(tmp_path: Path, different: int) -> None:
    shares = split_file(tmp_path, different, seed=5)
    parts = [{example.instruction for example in part} for part in (shares.train, shares.validation, shares.test)]
    held = max(1, different // 10)
    assert [len(part) for part in parts] == [different - 2 * held, held, held]
    assert len(set().union(*parts)) == different
    assert len(shares.train) + len(shares.validation) + len(shares.test) == 2 * different


def test_one_file_is_split_by_the_seed_alone(tmp_path: Path) -> None:
    assert split_file(tmp_path, 30, seed=5) == split_file(tmp_path, 30, seed=5)
    assert split_file(tmp_path, 30, seed=5).test != split_file(tmp_path, 30, seed=6).test
    found = sorted({example.instruction for example in split_file(tmp_path, 30, seed=5).test})
    assert found == ["ask 16", "ask 4", "ask 7"]  # in every process


def test_one_file_of_too_few_instructions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 different instructions are too few"):
        split_file(tmp_path, 2, seed=0)


def test_a_whole_file_serves_as_test_data(tmp_path: Path) -> None:
    assert len(load_test(str(write(tmp_path / "mine.jsonl", ROWS)), Reading())) == len(ROWS)


def test_the_embedded_data_has_labels_in_every_share() -> None:
    shares = load_shares("multitask", Reading(seed=0))
    assert len(tasks_of(shares.train)) == 4
    assert tasks_of(shares.train) == tasks_of(shares.validation) == tasks_of(shares.test)


def test_nothing_serves_in_the_place_of_an_embedded_test_file(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    write(tmp_path / "validation.jsonl", ROWS)
    for load in (Embedded(tmp_path).shares, Embedded(tmp_path).test):
        with pytest.raises(UserError, match="no test file"):
            load(Reading())


def test_the_embedded_unseen_tasks_are_test_data_of_other_tasks() -> None:
    seen = tasks_of(load_test("multitask", Reading()))
    unseen = tasks_of(load_test("unseen", Reading()))
    assert unseen and not set(seen) & set(unseen)


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with copies of four data sets of the Hub."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    hub = tmp_path / "hub"
    for split, rows in (("train", ROWS[:6]), ("validation", ROWS[6:8]), ("test", ROWS[8:])):
        write(hub / f"org/whole/{split}.jsonl", rows)
    for split, rows in (("train", ROWS[:9]), ("dev", ROWS[9:])):
        write(hub / f"org/untested/{split}.jsonl", rows)
    write(hub / "org/single/data.jsonl", ROWS)
    write(hub / "org/odd/test.jsonl", ROWS)
    return str(hub)


def test_the_splits_of_a_hub_data_set_are_its_shares(tmp_path: Path, hub_folder: str) -> None:
    local = tmp_path / "local"
    for split, rows in (("train", ROWS[:6]), ("validation", ROWS[6:8]), ("test", ROWS[8:])):
        write(local / f"{split}.jsonl", rows)
    shares = load_shares("org/whole", Reading(seed=0, hub_folder=hub_folder))
    assert shares == load_shares(str(local), Reading(seed=0)) and not shares.notes
    assert load_test("org/whole", Reading(hub_folder=hub_folder)) == shares.test


def test_a_hub_data_set_with_training_rows_only_is_split_as_a_file_is(tmp_path: Path, hub_folder: str) -> None:
    shares = load_shares("org/single", Reading(seed=3, hub_folder=hub_folder))
    assert shares == load_shares(str(write(tmp_path / "all.jsonl", ROWS)), Reading(seed=3))
    assert shares.notes[0].startswith("--data org/single: has no split 'test', so its rows are split by seed")
    with pytest.raises(UserError, match="org/single: has no split 'test'; it has train"):
        load_test("org/single", Reading(hub_folder=hub_folder))


def test_a_hub_data_set_without_test_split_is_tested_on_its_validation_rows_and_says_so(hub_folder: str) -> None:
    shares = load_shares("org/untested", Reading(seed=0, hub_folder=hub_folder))
    assert [len(shares.train), len(shares.validation), len(shares.test)] == [9, 0, 3]
    assert shares.notes == ("--data org/untested: has no split 'test', so 'validation' serves as the test share",)
    assert load_test("org/untested", Reading(hub_folder=hub_folder)) == shares.test


def test_refusals_name_hub_data_set_split_row_and_column(tmp_path: Path, hub_folder: str) -> None:
    with pytest.raises(UserError, match="org/odd: has no split 'train'; it has test"):
        load_shares("org/odd", Reading(seed=0, hub_folder=hub_folder))
    with pytest.raises(
        UserError, match=r"--data org/whole, split train: no column 'question'; it has .*--instruction-c"
    ):
        load_shares("org/whole", Reading(Columns(instruction=("question",)), seed=0, hub_folder=hub_folder))
    write(tmp_path / "hub/org/gaps/train.jsonl", [*ROWS[:3], {**ROWS[3], "response": None}])
    with pytest.raises(UserError, match=r"--data org/gaps, split train: 1 of 4 .* row 4: column 'response' is empty"):
        load_shares("org/gaps", Reading(seed=0, hub_folder=hub_folder))


def test_a_local_path_wins_over_a_hub_data_set_of_that_name(
    tmp_path: Path, hub_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for split in ("train", "test"):
        write(tmp_path / f"org/whole/{split}.jsonl", ROWS[:1])
    assert len(load_shares("org/whole", Reading(seed=0, hub_folder=hub_folder)).train) == 1
