"""The paper's four data sets, loaded by `datasets` from small folders in exactly their form."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from paper_copies import Text, parquet, write_copies

from fedrouter_sim.errors import UserError
from fedrouter_sim.examples.reading import Reading
from fedrouter_sim.examples.record import Columns, Example, Shares
from fedrouter_sim.examples.sources import load_shares, load_test
from fedrouter_sim.examples.sources import paper as paper_data
from fedrouter_sim.examples.sources.paper import ROWS, SAMPLE_SEED, TASKS, load_paper


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_copies(tmp_path_factory.mktemp("hub"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of these tests goes to the user's cache."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets-cache")


@pytest.fixture(scope="module")
def paper(copies: Path, tmp_path_factory: pytest.TempPathFactory) -> Shares:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets-cache")
        return load_shares("paper", Reading(seed=7, hub_folder=str(copies)))


def of_task(examples: tuple[Example, ...], task: str) -> dict[str, str]:
    """Instruction -> response of a task's examples."""
    return {example.instruction: example.response for example in examples if example.task == task}


def test_every_task_is_in_every_share(paper: Shares) -> None:
    assert Counter(example.task for example in paper.train) == dict.fromkeys(
        ("qqp", "gigaword", "samsum", "webnlg"), 12
    )
    for share in (paper.validation, paper.test):
        assert {example.task for example in share} == {"qqp", "gigaword", "samsum", "webnlg"}


@pytest.mark.parametrize(
    ("task", "instruction", "response"),
    [
        ("qqp", "Is train 3 it?-Is it train 3?", "Yes"),
        ("qqp", "Is train 4 it?-Is it train 4?", "No"),
        ("gigaword", "train 3 rose #.# percent .", "rise of 3"),
        ("samsum", "Ann: train 3?\nBob: Yes, 3.\nAnn: <file_gif>", "Ann asks, 3."),
        ("webnlg", "['train_4 | birthPlace | Oslo']", "train 4 was born in Oslo."),
        (
            "webnlg",
            "['train_3 | birthPlace | Oslo', 'Oslo | country | \"Nor\\'way 3\"']",
            "train 3 was born in Oslo.",
        ),
    ],
)
def test_rows_are_formatted_as_in_the_papers_code(paper: Shares, task: str, instruction: str, response: str) -> None:
    assert of_task(paper.train, task)[instruction] == response


def test_rows_come_from_the_splits_that_have_answers(paper: Shares) -> None:
    for task in ("gigaword", "samsum", "webnlg"):
        assert all("test" in instruction for instruction in of_task(paper.test, task))
        assert all("validation" in instruction for instruction in of_task(paper.validation, task))
    # GLUE's test rows have the label -1 for all: validation and test are parts of its validation split.
    assert all(
        "Is validation" in instruction
        for share in (paper.validation, paper.test)
        for instruction in of_task(share, "qqp")
    )
    assert all("Is train" in instruction for instruction in of_task(paper.train, "qqp"))


def test_no_instruction_is_drawn_twice_in_any_share(paper: Shares) -> None:
    every = [(e.task, e.instruction) for share in (paper.train, paper.validation, paper.test) for e in share]
    assert len(every) == len(set(every))


def test_rows_without_text_or_answer_are_passed_over_and_counted(paper: Shares) -> None:
    assert paper.notes[0] == "paper data: 49 test, 47 validation, 48 train rows, drawn with seed 0"
    # Three splits of each data set have such rows; two of qqp's are read.
    for note, (task, empty, repeated) in zip(
        paper.notes[1:], [("qqp", 6, 0), ("gigaword", 3, 0), ("samsum", 3, 0), ("webnlg", 6, 3)], strict=True
    ):
        assert note == (
            f"paper data, {task}: passed over {empty} drawn rows without text or answer and {repeated} whose "
            "instruction was drawn before"
        )


def test_the_rows_are_the_same_whatever_the_runs_seed(paper: Shares, copies: Path) -> None:
    assert load_shares("paper", Reading(Columns(("a",), "b", "c", "d"), seed=8, hub_folder=str(copies))) == paper
    assert load_test("paper", Reading(hub_folder=str(copies))) == paper.test


def test_at_most_the_wanted_rows_are_drawn_by_seed_and_not_from_the_top(
    copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paper_data, "ROWS", {"test": 2, "validation": 3, "train": 5})
    few = load_paper(str(copies))
    assert [len(few.test), len(few.validation), len(few.train)] == [4 * 2, 4 * 3, 4 * 5]
    numbers = [example.response for example in few.train if example.task == "gigaword"]
    assert len(set(numbers)) == 5 and numbers != [f"rise of {i}" for i in range(5)]
    monkeypatch.setattr(paper_data, "SAMPLE_SEED", SAMPLE_SEED + 1)
    assert load_paper(str(copies)) != few


def test_the_rows_suffice_for_the_papers_setting_and_no_more() -> None:
    clients, tasks, train, test = 8, 4, 600, 300
    assert (ROWS["train"], ROWS["test"]) == (clients * train // tasks, clients * test // tasks)
    assert next(iter(ROWS)) == "test"  # drawn first, so that training rows give way


def replaced(copies: Path, folder: Path, change: Callable[[Path], None]) -> str:
    """Copies of the data sets as links, but for what is changed."""
    for repository in copies.glob("*/*"):
        link = folder / repository.relative_to(copies)
        link.parent.mkdir(parents=True)
        link.symlink_to(repository)
    change(folder)
    return str(folder)


@pytest.mark.parametrize("source", TASKS, ids=lambda source: source.task)
def test_a_missing_copy_is_refused_by_folder_data_set_and_files(copies: Path, tmp_path: Path, source: Any) -> None:
    folder = replaced(copies, tmp_path / "hub", lambda hub: (hub / source.data.repository).unlink())
    with pytest.raises(UserError) as caught:
        load_paper(folder)
    message = str(caught.value)
    assert f"--hub-folder {folder}: has no folder {source.data.repository}" in message and "\n" not in message
    assert all(pattern in message for pattern in (source.data.files or {}).values())


def test_a_copy_with_other_columns_is_refused_by_name(copies: Path, tmp_path: Path) -> None:
    def change(hub: Path) -> None:
        (hub / "SalmanFaroz/gigaword").unlink()
        for split in ("train", "validation", "test"):
            rows = [{"text": "a", "summary": "b"}] * 4
            parquet(
                hub / f"SalmanFaroz/gigaword/data/{split}.parquet", rows, datasets.Features(text=Text, summary=Text)
            )

    with pytest.raises(UserError, match="SalmanFaroz/gigaword, split 'test': has no column 'article'"):
        load_paper(replaced(copies, tmp_path / "hub", change))


def test_a_copy_without_usable_rows_or_without_a_split_is_refused(copies: Path, tmp_path: Path) -> None:
    def without_answers(hub: Path) -> None:
        (hub / "knkarthick/samsum").unlink()
        (hub / "knkarthick/samsum").mkdir()
        for split in ("train", "validation", "test"):
            (hub / f"knkarthick/samsum/{split}.csv").write_text("id,dialogue,summary\n1,a,\n2,,b\n")

    with pytest.raises(UserError, match="samsum, split 'test': no row is left for the test share"):
        load_paper(replaced(copies, tmp_path / "no answers", without_answers))

    def without_test(hub: Path) -> None:
        (hub / "knkarthick/samsum").unlink()
        (hub / "knkarthick/samsum").mkdir()
        for split in ("train", "validation"):
            (hub / f"knkarthick/samsum/{split}.csv").write_text("id,dialogue,summary\n1,a,b\n2,c,d\n")

    with pytest.raises(UserError, match="samsum has no split 'test'; it has train, validation"):
        load_paper(replaced(copies, tmp_path / "no test", without_test))


def test_the_table_in_the_docstring_names_every_data_set() -> None:
    assert all(source.data.repository in (paper_data.__doc__ or "") for source in TASKS)
    assert f"{ROWS['train']:,}" in (paper_data.__doc__ or "")
